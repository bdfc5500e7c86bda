"""The FastAPI application: `python -m api` runs it, and `uvicorn api.app:app` works too.

Connections are in `api.state`, the rules of HTTP in `api.middleware` and `api.errors`.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI, Response
from pydantic.alias_generators import to_camel

from api.cors import add_cors
from api.docs import add_docs
from api.errors import add_error_handlers
from api.help_links import HelpLinks
from api.middleware import RequestMiddleware
from api.openapi_document import DocumentedApi
from api.routes import (
    admin,
    batch,
    cart,
    carts,
    checkout,
    guests,
    health,
    history,
    live,
    log_level,
    merge,
    metrics,
    operations,
    ops_reads,
    ops_signals,
    stores,
)
from api.routes.storefront import add_storefront
from api.state import ApiState, open_state
from api.static_page import page_router
from api.version import VERSION
from heartbeat import beating
from logs import configure_logging
from settings import Settings, SettingsError, load_settings
from telemetry.exposition import start_metrics
from telemetry.requests import REQUEST_SPANS
from telemetry.tracing import tracing

logger = structlog.stdlib.get_logger(__name__)

_DESCRIPTION = """\
Shopping carts. Each change runs as a saga: it reserves stock, changes the cart in one transaction,
and is rolled back completely if it cannot finish.

- 2xx: the request was processed (202: it is still running). 4xx: the request changed nothing.
  5xx: the outcome is unknown; retry with the same idempotency key.
- Every error and refusal has a `code` for programs, and a `message` for people (`Problem`).
- Amounts are JSON numbers with two decimals. Times are in UTC.
- `priceSource` says where a price comes from: `client` is what the client sent, unchecked, and
  `product_service` is the product service's, where one is configured.
"""
_TAGS = [
    {"name": "Cart", "description": "Your cart in a store."},
    {"name": "Carts", "description": "Carts by id, for their users and for store admins."},
    {"name": "Checkout", "description": "The checkout of your cart."},
    {"name": "Guests", "description": "Shoppers without an account."},
    {
        "name": "Admin",
        "description": "The carts and settings of a store, and the service's log level.",
    },
    {"name": "Operations", "description": "The status of changes that take longer."},
    {"name": "Health", "description": "For load balancers and orchestrators."},
]


def create_app(settings: Settings, *, state: ApiState | None = None) -> FastAPI:
    """Creates the application. It connects at startup, unless `state` is given."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if state is not None:
            yield
            return
        with tracing(settings, "api"):
            async with open_state(settings) as opened, beating(settings.heartbeat_file):
                app.state.api = opened
                await opened.health.check()  # connects before the first request
                logger.info("api_started", message="API started", version=app.version)
                yield
        logger.info("api_stopped", message="API stopped")

    app = DocumentedApi(
        telemetry=REQUEST_SPANS,
        title="Cart Service",
        description=_DESCRIPTION,
        version=VERSION,
        license_info={"name": "MIT", "identifier": "MIT"},
        contact={"name": "The maintainers of Cart Service"},
        servers=[{"url": "/", "description": "The service that serves this document."}],
        openapi_tags=_TAGS,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        default_response_class=Response,  # `Answer` has written the body
        generate_unique_id_function=lambda route: to_camel(route.name),
    )
    app.state.api = state
    app.add_middleware(RequestMiddleware, max_body_bytes=settings.max_body_bytes)
    if settings.error_docs_url is not None:
        app.add_middleware(HelpLinks, page=str(settings.error_docs_url))
    add_cors(app, settings.cors_origins)
    add_error_handlers(app)
    for router in (
        cart.router,
        batch.router,
        live.router,
        merge.router,
        carts.router,
        history.router,
        checkout.router,
        admin.router,
        operations.router,
        guests.router,
        stores.router,
        log_level.router,
        health.router,
        *([metrics.router] if settings.enable_metrics else ()),
    ):
        app.include_router(router)
    if settings.enable_ops_page:
        for router in (ops_reads.router, ops_signals.router, page_router("/ops", "ops_page")):
            app.include_router(router)
    add_docs(app)
    if settings.enable_storefront:
        add_storefront(app, settings)
    return app


def configured() -> Settings:
    """The settings, with logs and metrics set up; exits with one line for each invalid setting."""
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(str(error))
    configure_logging(settings.log_level, settings.log_format)
    start_metrics("api", settings)
    return settings


def __getattr__(name: str) -> Any:
    """Creates `app` on first access, so that importing `create_app` reads no settings."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = create_app(configured())
    return globals()["app"]
