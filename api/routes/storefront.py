"""`/shop/`: an example storefront to try the service with; off without `ENABLE_STOREFRONT`."""

from importlib.resources import files
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from settings import Settings

_FILES = files("api") / "storefront"


def add_storefront(app: FastAPI, settings: Settings) -> None:
    """Serves the page; where to find the panel of `cart run` is in `/shop/config.json`."""
    url = settings.storefront_control_url
    control = str(url).rstrip("/") if url else None
    router = APIRouter(include_in_schema=False)

    @router.get("/shop")
    async def page() -> Response:
        return RedirectResponse("shop/")

    @router.get("/shop/config.json")
    async def config() -> Response:
        return JSONResponse({"controlUrl": control})

    app.include_router(router)
    app.mount("/shop", _Pages(_policy(control)))


def _policy(control: str | None) -> str:
    """No inline script or style, and requests only to this service and the panel."""
    parts = urlsplit(control) if control else None
    panel = f" {parts.scheme}://{parts.netloc}" if parts else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self'{panel}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class _Pages:
    """The files, with a content security policy."""

    def __init__(self, policy: str) -> None:
        self._files = StaticFiles(directory=str(_FILES), html=True)
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"cache-control", b"no-cache"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._files(scope, receive, with_headers)
