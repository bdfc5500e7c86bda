"""The rules of HTTP/1.1 that a request must keep, and the answers to requests that break them.

`api.http_protocol` applies them while it parses. Each answer ends its connection.
"""

import re
from http import HTTPStatus

import httptools

from api.error_codes import ErrorCode
from api.errors import RETRY_AFTER, Answer, problem

MAX_TARGET_BYTES = 8192  # RFC 9112, 3 recommends at least 8000 octets for the request line
MAX_FIELDS = 100
MAX_FIELD_BYTES = 16 * 1024

_REQUEST_LINE = re.compile(rb"[\r\n]*[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32} +[^ ]+ +HTTP/1\.[01]\r\n")
# A host with an optional port (RFC 3986, 3.2.2); it may be empty.
_HOST = re.compile(
    rb"(?:\[[0-9A-Za-z:.%~_-]+\]|[0-9A-Za-z.~_!$&'()*+,;=%-]*)(?::[0-9]*)?", re.ASCII
)
_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class RefusedRequestError(Exception):
    """Ends the parsing of a request that is over a limit or against a rule."""

    def __init__(self, status: HTTPStatus, message: str, code: ErrorCode) -> None:
        super().__init__(message)
        self.answer = closing_answer(status, message, code)


def closing_answer(status: HTTPStatus, message: str, code: ErrorCode, **headers: str) -> Answer:
    return problem(status, message, code=code, headers={"Connection": "close", **headers})


def too_many_connections() -> Answer:
    message = "Too many connections; try again"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    return closing_answer(status, message, ErrorCode.TOO_MANY_CONNECTIONS, **RETRY_AFTER)


def too_slow(seconds: float) -> Answer:
    message = f"Request was not complete after {seconds:g} s"
    return closing_answer(HTTPStatus.REQUEST_TIMEOUT, message, ErrorCode.REQUEST_TIMEOUT)


def check_fields(count: int, largest: int, total: int, *, limit: int) -> None:
    """Checks the header fields so far: their number, the bytes of one, and those of all."""
    if count > MAX_FIELDS:
        raise _too_large(f"Request has more than {MAX_FIELDS} header fields")
    if largest > MAX_FIELD_BYTES:
        raise _too_large(f"A header field is larger than {MAX_FIELD_BYTES} bytes")
    if total > limit:
        raise _too_large(f"Request header is larger than {limit} bytes")


def _too_large(message: str) -> RefusedRequestError:
    return RefusedRequestError(_TOO_LARGE, message, ErrorCode.HEADER_FIELDS_TOO_LARGE)


def check_target(target: bytes) -> None:
    if len(target) > MAX_TARGET_BYTES:
        message = f"Request target is longer than {MAX_TARGET_BYTES} bytes"
        raise RefusedRequestError(HTTPStatus.REQUEST_URI_TOO_LONG, message, ErrorCode.URI_TOO_LONG)


def check_size(received: int, limit: int) -> None:
    """Checks the bytes of one request on the wire, framing included."""
    if received > limit:
        message = f"Request is larger than {limit} bytes"
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        raise RefusedRequestError(status, message, ErrorCode.REQUEST_TOO_LARGE)


def malformed(error: httptools.HttpParserError, data: bytes) -> Answer:
    """The answer to what is not HTTP/1.1: 501 for an unknown method, else 400."""
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _REQUEST_LINE.match(data):
        message = "This method is not implemented"
        return closing_answer(HTTPStatus.NOT_IMPLEMENTED, message, ErrorCode.METHOD_NOT_IMPLEMENTED)
    return closing_answer(
        HTTPStatus.BAD_REQUEST, "Request is not valid HTTP/1.1", ErrorCode.MALFORMED_REQUEST
    )


def check_framing(headers: list[tuple[bytes, bytes]], version: str) -> None:
    """Refuses what the parser accepts and proxies read differently (RFC 9112, 3.2 and 6.1)."""
    hosts = [value for name, value in headers if name == b"host"]
    is_named = len(hosts) == 1 and _HOST.fullmatch(hosts[0].strip(b" \t"))
    if not is_named and (hosts or version != "1.0"):
        message = "Request must have exactly one Host header field, with a host and a port"
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, message, ErrorCode.MALFORMED_REQUEST)
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if not codings:
        return
    if version == "1.0" or any(name == b"content-length" for name, _ in headers):
        message = "Transfer-Encoding must not stand beside Content-Length, or in HTTP/1.0"
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, message, ErrorCode.MALFORMED_REQUEST)
    if [value.strip().lower() for value in codings] != [b"chunked"]:
        message = "Transfer-Encoding must be chunked"
        raise RefusedRequestError(HTTPStatus.BAD_REQUEST, message, ErrorCode.MALFORMED_REQUEST)


def with_path(target: bytes) -> bytes:
    """The target with a path: `OPTIONS *` and `http://host` have none (RFC 9112, 3.2)."""
    if target == b"*":
        return b"/"
    scheme, separator, rest = target.partition(b"://")
    if separator and scheme.isalpha() and b"/" not in rest:
        host, query, values = rest.partition(b"?")
        return b"%b://%b/%b%b" % (scheme, host, query, values)
    return target
