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

from api.static_page import page_router


def add_docs(app: FastAPI) -> None:
    """Serves the page and Swagger UI's files."""
    app.include_router(page_router("/docs", "swagger"))
    assets = files("fastapi_standalone_docs") / "static" / "swagger"
    app.mount("/docs/assets", StaticFiles(directory=str(assets)))
