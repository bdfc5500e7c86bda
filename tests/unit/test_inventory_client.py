"""What the Inventory Service's answers to a release mean."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.inventory import InventoryClient
from models.errors import CartServiceError, DependencyUnavailable, EffectRefused
from models.messages import ReleaseEffect

RELEASE = ReleaseEffect(
    id="effect-1", product_id="p", quantity=1, saga_id="s", reason="saga_aborted"
)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((status, EffectRefused) for status in (400, 404, 405, 409, 410, 413, 422)),
        *((status, DependencyUnavailable) for status in (401, 403, 407, 408, 425, 429)),
        *((status, DependencyUnavailable) for status in (204, 302, 500, 502, 503)),
    ],
)
async def test_a_release_that_is_not_accepted(status: int, error: type[CartServiceError]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/api/v1/inventories/release", answer)
    async with TestServer(app) as server:
        client = InventoryClient(str(server.make_url("/")), timeout_seconds=60)
        with pytest.raises(error, match=f"answered {status}") as raised:
            await client.release("store", "user", RELEASE)
        await client.close()
    if isinstance(raised.value, EffectRefused):
        assert raised.value.effect_id == "effect-1"
