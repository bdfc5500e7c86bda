"""`/docs`: the OpenAPI document in Swagger UI, with requests that can be sent from the page.

Swagger UI comes from the package `fastapi-standalone-docs`, so the page loads nothing from another
host. The content is in `api.openapi` and the routes.
"""

from importlib.resources import files

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

# No inline script or style: `img-src data:` is for the icons in Swagger UI's own style sheet.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

_FILES = files("api") / "swagger"
# Addresses in it are relative, so that it also works behind a proxy that strips a path prefix.
_PAGE = (_FILES / "index.html").read_text()
# The token stays in the page's memory. Without `validatorUrl: null` the page would send the
# document's address to a validator on another host.
_SCRIPT = (_FILES / "page.js").read_text()
# Swagger UI's tables are wider than a phone: there each cell gets a line of its own.
_STYLE = (_FILES / "page.css").read_text()

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def page() -> HTMLResponse:
    """The page."""
    return HTMLResponse(_PAGE, headers=_HEADERS)


@router.get("/docs/page.js")
async def script() -> Response:
    """Starts Swagger UI."""
    return Response(_SCRIPT, media_type="text/javascript")


@router.get("/docs/page.css")
async def style() -> Response:
    """Corrections for narrow screens."""
    return Response(_STYLE, media_type="text/css")


def add_docs(app: FastAPI) -> None:
    """Serves the page and Swagger UI's files."""
    app.include_router(router)
    assets = files("fastapi_standalone_docs") / "static" / "swagger"
    app.mount("/docs/assets", StaticFiles(directory=str(assets)))
