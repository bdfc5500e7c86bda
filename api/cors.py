"""Cross-origin requests, for shops whose pages call the API from the browser; off by default."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

PREFLIGHT_SECONDS = 600
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
# Any header may be sent, because libraries for tracing and monitoring in browsers add their own:
# traceparent, baggage, sentry-trace, x-datadog-…, x-b3-…, uber-trace-id, newrelic. It is safe:
# origins are listed, and without cookies a page can send no credentials but those that it has.
_SENT = ("*",)
_SHOWN = (
    "Allow",
    "ETag",
    "Idempotency-Key",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Preference-Applied",
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
            allow_private_network=True,  # a public page, and an API on a local network
            expose_headers=_SHOWN,
            max_age=PREFLIGHT_SECONDS,
        )
