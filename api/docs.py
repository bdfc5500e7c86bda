"""`/docs`: the OpenAPI document in Swagger UI, with requests that can be sent from the page.

Swagger UI comes from the package `fastapi-standalone-docs`, so the page loads nothing from another
host. The content is in `api.openapi` and the routes.

The token stays in the page's memory. Without `validatorUrl: null` (page.js) the page would send the
document's address to a validator on another host. Swagger UI's tables are wider than a phone: there
page.css gives each cell a line of its own.
"""

from importlib.resources import files

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from api.static_page import page_router


class _WholeFiles(StaticFiles):
    """Files that are sent whole. Starlette refuses a `Range` in other units than bytes, which a
    server must ignore (RFC 9110, 14.2)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [one for one in scope["headers"] if one[0] != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)


def add_docs(app: FastAPI) -> None:
    """Serves the page and Swagger UI's files."""
    app.include_router(page_router("/docs", "swagger"))
    assets = files("fastapi_standalone_docs") / "static" / "swagger"
    app.mount("/docs/assets", _WholeFiles(directory=str(assets)))
