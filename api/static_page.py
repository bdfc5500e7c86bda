"""Pages of HTML, CSS and scripts that this package has; they load nothing from another host."""

from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files

from fastapi import APIRouter, Response

# No inline script or style: `img-src data:` is for the icons in Swagger UI's own style sheet.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'{}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


def page_router(path: str, folder: str, *, connects_to: str = "") -> APIRouter:
    """Serves `index.html` of a folder of this package at a path, and its other files below it.

    Addresses in the page are relative, so that it also works behind a proxy that strips a path
    prefix. Its scripts may send requests to this service, and to the origin `connects_to`.
    """
    router = APIRouter(include_in_schema=False)
    policy = _POLICY.format(f" {connects_to}" if connects_to else "")
    headers = {"Content-Security-Policy": policy}
    for file in (files("api") / folder).iterdir():
        text, name = file.read_text(), file.name
        if name == "index.html":
            router.get(path)(_serving(text, "text/html", headers))
        else:
            media_type = _TYPES[name[name.rindex(".") :]]
            router.get(f"{path}/{name}")(_serving(text, media_type))
    return router


def _serving(
    text: str, media_type: str, headers: Mapping[str, str] | None = None
) -> Callable[[], Awaitable[Response]]:
    async def serve() -> Response:
        return Response(text, headers=headers, media_type=media_type)

    return serve
