"""Entity tags of carts, and conditional requests (RFC 9110, 8.8.3 and 13.1)."""

import re
from http import HTTPStatus

from fastapi import Response

from api.errors import Answer
from models.cart import CartView, cart_json, etag
from models.documents import Cart

# In the JSON text of a cart, or of an answer with one after its message, these match only the
# fields: quotes inside strings are escaped.
_ID = re.compile(rb'^\{(?:"message":"[^"]*","cart":\{)?"_id":"([0-9a-f]{24})"')
_VERSION = re.compile(rb'"version":([0-9]+)')
_TAG = re.compile(r'(?:W/)?"([^"]*)"|([^",\s]+)')
# The suffix that `shown_as` adds is not part of the cart's version.
_SHOWN_AS = re.compile(r"(?<=-[0-9a-f]{24})-[0-9a-f]{8}$")


def cart_answer(cart: Cart | CartView) -> Answer:
    """A 200 answer with the cart."""
    body = cart_json(cart.id, cart)
    return Answer(HTTPStatus.OK, body, etag_headers(body))


def etag_headers(body: bytes) -> dict[str, str]:
    """The `ETag` header for the JSON text of an answer with a cart; none for any other body."""
    cart_id, version = _ID.match(body), _VERSION.search(body)
    if cart_id is None or version is None:
        return {}
    return {"ETag": f'"{etag(cart_id[1].decode(), int(version[1]))}"'}


def shown_as(answer: Answer, what: int) -> Answer:
    """The answer with a tag that distinguishes it from the same version shown differently."""
    tag = answer.headers["ETag"].strip('"')
    return Answer(answer.status, answer.body, {**answer.headers, "ETag": f'"{tag}-{what:08x}"'})


def required_tags(if_match: str | None) -> tuple[str, ...] | None:
    """The tags of `If-Match` without quotes; None without the header."""
    tags = _tags(if_match)
    return None if tags is None else tuple(_SHOWN_AS.sub("", tag) for tag in tags)


def unless_known(answer: Answer, if_none_match: str | None) -> Response:
    """The answer, or 304 if the client already has this version."""
    tags = _tags(if_none_match)
    current = answer.headers.get("ETag", "").strip('"')
    if tags and current and not {"*", current, current.partition("-")[0]}.isdisjoint(tags):
        return Response(
            status_code=HTTPStatus.NOT_MODIFIED,
            headers={**answer.headers, "Cache-Control": "private, no-cache"},
        )
    return answer.response()


def _tags(header: str | None) -> tuple[str, ...] | None:
    if header is None:
        return None
    return tuple(quoted or bare for quoted, bare in _TAG.findall(header))
