"""The response headers of the OpenAPI document.

Each is described once, in the document's components; responses refer to it.
"""

from typing import Any

Headers = dict[str, dict[str, Any]]

HEADERS: Headers = {}
"""The response headers by name, for the document's components."""


def _header(name: str, description: str, example: str | int, **schema: Any) -> Headers:
    """A response header, as a reference; `schema` replaces the schema of a string."""
    HEADERS[name] = {
        "description": description,
        "schema": schema or {"type": "string"},
        "example": example,
    }
    return {name: {"$ref": f"#/components/headers/{name}"}}


ANY_ANSWER = (
    _header(
        "X-Request-Id",
        "The request's id: sent by the client, or generated.",
        "3f1b9c0a7d5e4f6c8b2a1d0e9f8c7b6a",
    )
    | _header(
        "X-Trace-Id",
        "The id of the request's trace, if tracing is on.",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        type="string",
        pattern="^[0-9a-f]{32}$",
    )
    | _header("Cache-Control", "How caches must treat the answer.", "private, no-store")
)
LIMITED = (
    _header("RateLimit-Limit", "Requests a minute, if a limit is on.", 300, type="integer")
    | _header("RateLimit-Remaining", "Requests that are left.", 299, type="integer")
    | _header(
        "RateLimit-Reset", "Seconds until all requests are available again.", 1, type="integer"
    )
)
SAGA_LINK = _header(
    "Link",
    "For admins: the cart's page in the Temporal Web UI.",
    '<http://127.0.0.1:8233/namespaces/default/workflows/cart%2Fshop%2Fjane>; rel="monitor"',
)
RETRY_AFTER = _header(
    "Retry-After",
    "Seconds to wait before a retry with the same idempotency key.",
    1,
    type="integer",
)
IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    "The request's idempotency key: sent by the client, or generated.",
    "unique-request-id-123",
)
REPLAYED = _header(
    "Idempotent-Replayed",
    "`true` if this is the response to an earlier request with this key.",
    "true",
    type="string",
    enum=["true"],
)
PREFERENCE_APPLIED = _header(
    "Preference-Applied",
    "`handling=strict` if the request has preferred it.",
    "handling=strict",
    type="string",
    enum=["handling=strict"],
)
ETAG = _header(
    "ETag",
    "The version of what is answered, for `If-Match` and, of a cart, `If-None-Match`.",
    '"1-507f1f77bcf86cd799439013"',
)
AUTHENTICATE = _header(
    "WWW-Authenticate", "The authentication scheme, with the kind of error.", "Bearer"
)
LOCATION = _header(
    "Location",
    "The URL of the operation's status.",
    "/api/v1/cart/507f1f77bcf86cd799439015/operations/9f86d081884c7d659a2feaa0c55ad015",
    type="string",
    format="uri-reference",
)


def merged(*headers: Headers) -> Headers:
    """Those headers, and the ones of every answer."""
    found = dict(ANY_ANSWER)
    for header in headers:
        found |= header
    return found
