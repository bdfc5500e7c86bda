"""Cross-origin requests, for shops whose pages call the API from the browser; off by default."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

PREFLIGHT_SECONDS = 600
_METHODS = ("GET", "POST", "PUT", "DELETE")
_SENT = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-Request-Id",
)
_SHOWN = (
    "ETag",
    "Idempotency-Key",
    "Idempotent-Replayed",
    "Location",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "X-Request-Id",
    "X-Trace-Id",
)


def add_cors(app: FastAPI, origins: tuple[str, ...]) -> None:
    """Allows requests from pages of these origins.

    Add it last, as the outermost layer, so that pages can read all responses. Cookies are not
    allowed: pages send tokens.
    """
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_SENT,
            expose_headers=_SHOWN,
            max_age=PREFLIGHT_SECONDS,
        )
