"""Content-Type, Content-Encoding and Accept (RFC 9110, 8.3, 8.4 and 12.5.1)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import Headers

from api.error_codes import ErrorCode
from api.errors import ApiError, problem

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
FORM = "application/x-www-form-urlencoded"
"""What curl sends with `-d` by default."""

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PARAMETER = re.compile(rf"[ \t]*;[ \t]*(?:({_NAME})=({_NAME}|{_QUOTED}))?")
_TYPE = re.compile(rf"[ \t]*({_NAME})/({_NAME})")
_MEMBER = re.compile(rf"(?:[^,\"]|{_QUOTED})+")
_ESCAPED = re.compile(r"\\(.)")
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type or range in lower case, with its parameters by lower-case name."""

    kind: str
    subtype: str
    parameters: dict[str, str]

    @property
    def is_json(self) -> bool:
        subtype = self.subtype
        return self.kind == "application" and (subtype == "json" or subtype.endswith("+json"))

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.subtype}"


def check_content(headers: Headers, *, also: str | None = None) -> None:
    """Raises `ApiError` (415) unless the content is JSON in UTF-8 without a content coding.

    Without a Content-Type it is taken as JSON. `also` is another type that is read as JSON.
    """
    codings = [
        one.strip().lower() for one in ",".join(headers.getlist("content-encoding")).split(",")
    ]
    if not {"", "identity"}.issuperset(codings):
        # RFC 9110, 15.5.16: the header says that no coding is accepted.
        message = "Content-Encoding is not supported; send the body without compression"
        raise _unsupported(
            message, ErrorCode.CONTENT_ENCODING_NOT_SUPPORTED, **{"Accept-Encoding": "identity"}
        )
    for text in _members(headers.getlist("content-type")):
        given = _parsed(text)
        if given is None or not (given.is_json or given.name == also):
            message = "Content-Type must be application/json"
            raise _unsupported(
                message, ErrorCode.MEDIA_TYPE_NOT_SUPPORTED, Accept="application/json"
            )
        if given.parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
            raise _unsupported("Charset must be UTF-8", ErrorCode.CHARSET_NOT_SUPPORTED)


def accepts(headers: list[str], media_type: str) -> bool:
    """Whether `Accept` allows a media type; without the header, every type is allowed.

    The most specific range that matches decides. What is no range matches nothing.
    """
    ranges = {"*/*": 0, f"{media_type.partition('/')[0]}/*": 1, media_type: 2}
    best, allowed, any_range = -1, False, False
    for text in _members(headers):
        any_range = True
        given = _parsed(text)
        specific = ranges.get(given.name) if given else None
        weight = given.parameters.get("q", "1") if given else ""
        if specific is None or not _WEIGHT.fullmatch(weight):
            continue
        if specific > best:
            best, allowed = specific, False
        if specific == best:
            allowed = allowed or float(weight) > 0
    return allowed or not any_range


def _members(lines: Iterable[str]) -> Iterator[str]:
    """The members of a list that may stand in several lines; commas in quotes do not divide."""
    for line in lines:
        yield from (member for member in map(str.strip, _MEMBER.findall(line)) if member)


def _parsed(text: str) -> MediaType | None:
    """The media type; None if the text is none."""
    found = _TYPE.match(text)
    if found is None:
        return None
    parameters: dict[str, str] = {}
    position = found.end()
    while part := _PARAMETER.match(text, position):
        name, value = part.groups()
        if name is not None:
            parameters.setdefault(name.lower(), _unquoted(value))
        position = part.end()
    if text[position:].strip():
        return None
    return MediaType(found[1].lower(), found[2].lower(), parameters)


def _unquoted(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value


def _unsupported(message: str, code: ErrorCode, **headers: str) -> ApiError:
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return ApiError(problem(status, message, code=code, headers=headers))
