"""The application. `uvicorn api.app:app` works, and `python -m api` is the way to run it.

What is not here: the connections (`api.state`) and the rules of HTTP (`api.middleware`,
`api.errors`).
"""

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI

from api.cors import add_cors
from api.docs import router as docs_router
from api.errors import add_error_handlers
from api.middleware import RequestMiddleware
from api.openapi import DocumentedApi
from api.routes import admin, cart, carts, health, log_level, metrics, operations
from api.state import ApiState, open_state
from heartbeat import beating
from logs import configure_logging
from settings import Settings, SettingsError, load_settings
from telemetry.exposition import start_metrics
from telemetry.requests import REQUEST_SPANS
from telemetry.tracing import tracing

logger = logging.getLogger(__name__)

_DESCRIPTION = """\
Shopping carts. Every change is a saga: it reserves stock, changes the cart in one transaction, and
is undone as a whole when it cannot be finished.

- 2xx: done (202: accepted). 4xx: this request changed nothing. 5xx: unknown, and safe to repeat
  with the same idempotency key.
- Amounts are JSON numbers with two digits. Times are UTC.
"""
_TAGS = [
    {"name": "Cart", "description": "The shopper's own cart in a store."},
    {"name": "Carts", "description": "Carts by their own id, for shoppers and for admins."},
    {"name": "Admin", "description": "The carts of a store, and the service itself."},
    {"name": "Operations", "description": "Changes that take longer."},
    {"name": "Health", "description": "For load balancers and orchestrators."},
]


@asynccontextmanager
async def _parts(settings: Settings) -> AsyncIterator[ApiState]:
    """What is opened with the application, in the order of what needs what."""
    with tracing(settings, "api"):
        async with open_state(settings) as opened, beating(settings.heartbeat_file):
            yield opened


def create_app(settings: Settings, *, state: ApiState | None = None) -> FastAPI:
    """The application; it connects when it is started, or not at all when `state` is given."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if state is not None:
            yield
            return
        async with _parts(settings) as opened:
            app.state.api = opened
            await opened.health.check()  # connects ahead of the first request
            logger.info("API started", extra={"event": "api_started", "version": app.version})
            yield
        logger.info("API stopped", extra={"event": "api_stopped"})

    app = DocumentedApi(
        telemetry=REQUEST_SPANS,
        title="Cart Service",
        description=_DESCRIPTION,
        version=_version(),
        openapi_tags=_TAGS,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.api = state
    app.add_middleware(RequestMiddleware, max_body_bytes=settings.max_body_bytes)
    add_cors(app, settings.cors_origins)
    add_error_handlers(app)
    for router in (
        cart.router,
        carts.router,
        admin.router,
        operations.router,
        log_level.router,
        health.router,
        docs_router,
        *([metrics.router] if settings.enable_metrics else ()),
    ):
        app.include_router(router)
    return app


def _version() -> str:
    try:
        return version("cart-service")
    except PackageNotFoundError:  # run from a source tree that was not installed
        return "0.0.0"


def __getattr__(name: str) -> Any:
    """Makes `app` when a server asks for it, so that importing `create_app` reads no settings."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(str(error))
    configure_logging(settings.log_level, settings.log_format)
    start_metrics("api", settings)
    globals()["app"] = create_app(settings)
    return globals()["app"]
