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

# Addresses are relative, so that the page also works behind a proxy that strips a path prefix.
_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Cart Service API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<link rel="stylesheet" href="docs/page.css">
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/page.js"></script>
</html>
"""

# The token stays in the page's memory. Without `validatorUrl: null` the page would send the
# document's address to a validator on another host.
_SCRIPT = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  validatorUrl: null,
});
"""

# Swagger UI's tables are wider than a phone: there each cell gets a line of its own.
_STYLE = """\
body { margin: 0; }
.swagger-ui pre { overflow-x: auto; }
@media (max-width: 640px) {
  .swagger-ui .wrapper { padding: 0 10px; }
  .swagger-ui .opblock-body .table-container,
  .swagger-ui .responses-inner { overflow-x: auto; padding: 10px; }
  .swagger-ui .opblock-body table,
  .swagger-ui .opblock-body tbody,
  .swagger-ui .opblock-body tr,
  .swagger-ui .opblock-body td { display: block; max-width: none; width: auto; }
  .swagger-ui .opblock-body thead { display: none; }
  .swagger-ui .opblock-body tr { padding-bottom: 10px; }
  .swagger-ui .opblock-body td { padding: 4px 0; }
}
"""

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
