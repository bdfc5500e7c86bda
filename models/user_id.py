"""The id of a user: the subject of the user's tokens, exactly as the issuer spells it.

Issuers use many forms: `auth0|64f0c0ff`, `ada@example.com`, `did:example:123`, a URL. An id is
compared exactly, without any normalization, so that two subjects never are one user. It is shown as
it is. `path_safe` and `bounded_path_safe` spell it for keys, ids and URLs.
"""

import hashlib
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator, Field

MAX_USER_ID = 255
USER_ID_RULE = f"must be 1 to {MAX_USER_ID} printable characters"


def is_user_id(text: str) -> bool:
    """Whether a text can be a user's id: 1 to 255 characters, all of them printable.

    Printable is `str.isprintable`: no control, format (bidirectional, zero-width), surrogate,
    private-use or unassigned characters, no line or paragraph separators, and no space but U+0020.
    """
    return 0 < len(text) <= MAX_USER_ID and text.isprintable()


def _checked(text: str) -> str:
    if not is_user_id(text):
        raise ValueError(USER_ID_RULE)
    return text


UserId = Annotated[str, Field(min_length=1, max_length=MAX_USER_ID), AfterValidator(_checked)]


def path_safe(user_id: str) -> str:
    """The id percent-encoded, all but `A-Z a-z 0-9 _ - . ~`; reversed by `urllib.parse.unquote`."""
    return quote(user_id, safe="")


def bounded_path_safe(user_id: str, max_bytes: int) -> str:
    """The id percent-encoded, or `sha256:` and its hash if that is longer than `max_bytes`.

    No encoded id has a colon, so the two forms cannot be confused.
    """
    encoded = path_safe(user_id)
    return encoded if len(encoded) <= max_bytes else hashed(user_id)


def hashed(user_id: str) -> str:
    """`sha256:` and the hash of an id that is too long for where it is needed."""
    return f"sha256:{hashlib.sha256(user_id.encode()).hexdigest()}"
