"""`/shop`: an example storefront to try the service with; off without `ENABLE_STOREFRONT`."""

from urllib.parse import urlsplit

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from api.static_page import page_router
from settings import Settings


def add_storefront(app: FastAPI, settings: Settings) -> None:
    """Serves the page; where to find the panel of `cart run` is in `/shop/config.json`."""
    url = settings.storefront_control_url
    control = str(url).rstrip("/") if url else None
    parts = urlsplit(control or "")
    router = page_router(
        "/shop", "storefront", connects_to=f"{parts.scheme}://{parts.netloc}" if control else ""
    )

    @router.get("/shop/config.json")
    async def config() -> Response:
        return JSONResponse({"controlUrl": control})

    app.include_router(router)
