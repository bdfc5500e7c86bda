"""Entity tags of carts, and conditional requests (RFC 9110, 8.8.3 and 13.1).

A proxy that compresses makes another tag of ours, and clients send that back: Apache adds `-gzip`,
others `;gzip` or `--br`, which is removed here. nginx marks it as weak (`W/`), which matches in
`If-None-Match`. In `If-Match` a weak tag never matches (13.1.1 requires the strong comparison).
"""

import re
from http import HTTPStatus

from fastapi import Response

from api.errors import PRIVATE, Answer
from models.cart import CartView, cart_json, etag
from models.documents import Cart

# In the JSON text of a cart, or of an answer with one after its message, these match only the
# fields: quotes inside strings are escaped.
_ID = re.compile(rb'^\{(?:"message":"[^"]*","cart":\{)?"_id":"([0-9a-f]{24})"')
_VERSION = re.compile(rb'"version":([0-9]+)')
_TAG = re.compile(r'(W/)?"([^"]*)"|([^",\s]+)')
# What proxies add for a content coding.
_CODED = re.compile(
    r"(?:--?|[;:+])(?:x-)?(?:gzip|br|zstd|deflate|compress|identity)$", re.IGNORECASE
)
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


def version_tag(answer: Answer) -> str:
    """The tag of the version in an answer with a cart, however it is shown; without quotes."""
    return _SHOWN_AS.sub("", answer.headers["ETag"].strip('"'))


def shown_as(answer: Answer, what: int) -> Answer:
    """The answer with a tag that distinguishes it from the same version shown differently."""
    tag = answer.headers["ETag"].strip('"')
    return Answer(answer.status, answer.body, {**answer.headers, "ETag": f'"{tag}-{what:08x}"'})


def required_tags(if_match: str | None) -> tuple[str, ...] | None:
    """The strong tags of `If-Match` without quotes; None without the header."""
    if if_match is None:
        return None
    return tuple(_SHOWN_AS.sub("", tag) for is_weak, tag in _tags(if_match) if not is_weak)


def excluded_tags(if_none_match: str | None) -> tuple[str, ...] | None:
    """The tags of `If-None-Match` of a change, without quotes; None without the header."""
    if if_none_match is None:
        return None
    return tuple(_SHOWN_AS.sub("", tag) for _, tag in _tags(if_none_match))


def unless_known(answer: Answer, if_none_match: str | None) -> Response:
    """The answer, or 304 if the client already has this version."""
    tags = {tag for _, tag in _tags(if_none_match or "")}
    current = answer.headers.get("ETag", "").strip('"')
    if tags and current and not {"*", current, current.partition("-")[0]}.isdisjoint(tags):
        return Response(
            status_code=HTTPStatus.NOT_MODIFIED,
            headers={**answer.headers, **PRIVATE},
        )
    return answer.response()


def _tags(header: str) -> list[tuple[bool, str]]:
    """Whether each tag is weak, and the tag without quotes and without what a proxy added."""
    return [
        (bool(weak), _CODED.sub("", quoted or bare)) for weak, quoted, bare in _TAG.findall(header)
    ]
