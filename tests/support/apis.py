"""An API of its own in the test's process, on the servers of the running stack."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx

from adapters.mongo import client as mongo
from api.app import create_app
from api.state import open_state
from settings import Settings
from tests.support.shop import Shop


@asynccontextmanager
async def shop_with(shop: Shop, **changed: Any) -> AsyncIterator[Shop]:
    """The shop as an API with these settings serves it."""
    settings = Settings(**changed)
    async with open_state(settings) as state:
        transport = httpx.ASGITransport(create_app(settings, state=state))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://cart", timeout=30
        ) as own:
            yield replace(shop, world=replace(shop.world, settings=settings, http=own))
    await mongo.bind(shop.world.carts.client)
