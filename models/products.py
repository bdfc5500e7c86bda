"""A product as the product service describes it, and the rules of its texts.

Requests that bring a title, images or a description keep the same rules (`api.schemas`).
"""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from models.message import Message

MAX_IMAGES = 20
MAX_URL = 2048
MAX_TITLE = 500
MAX_DESCRIPTION = 5000

# Patterns are run by pydantic's engine, where `$` is the very end: no newline may follow.
# No control character and no noncharacter (Unicode 23.7). The marks of Cf stay: emoji, Persian and
# right-to-left titles need them.
_NO_TEXT = r"\x7F-\x9F\uFDD0-\uFDEF\uFFFE\uFFFF"
_NO_TITLE = rf"\x00-\x1F{_NO_TEXT}"
# Not blank, for the white space of every regular expression dialect.
TITLE_PATTERN = rf"^[^{_NO_TITLE}]*[^{_NO_TITLE}\s\uFEFF][^{_NO_TITLE}]*$"
DESCRIPTION_PATTERN = rf"^[^\x00-\x08\x0B\x0C\x0E-\x1F{_NO_TEXT}]*$"
# An http or https URL (RFC 3986) or IRI (RFC 3987): user information, a host, a port, the rest. The
# host is a name or an IPv4 address. It has no character that is normalized (NFKC) to a delimiter of
# URLs, because some clients, such as Python's urlsplit, refuse such a URL.
_PORT = "6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}"
_NO_URL = r"\s\x00-\x1f\x7f-\x9f\uFEFF\\"
_NO_HOST = (
    rf"{_NO_URL}/?#@\[\]\u2047-\u2049\u2100\u2101\u2105\u2106\u2A74"
    r"\uFE13\uFE16\uFE55\uFE56\uFE5F\uFE6B\uFF03\uFF0F\uFF1A\uFF1F\uFF20"
)
URL_PATTERN = (
    r"^[Hh][Tt][Tt][Pp][Ss]?://"
    rf"(?:[^{_NO_HOST}]*@)?"
    rf"[^{_NO_HOST}:]+"
    rf"(?::(?:{_PORT})?)?"
    rf"(?:[/?#][^{_NO_URL}]*)?$"
)

Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE, pattern=TITLE_PATTERN)]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION, pattern=DESCRIPTION_PATTERN)]
ImageUrl = Annotated[str, Field(max_length=MAX_URL, pattern=URL_PATTERN)]


class Product(Message):
    """What the product service says of a product in a store.

    `currency` is that of the price; None where the service does not say it.
    """

    title: str
    images: tuple[str, ...]
    price: Decimal
    currency: str | None
