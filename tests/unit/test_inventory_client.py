"""What the Inventory Service's answers to a release mean."""

import httpx
import pytest

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
    client = InventoryClient("http://inventory", timeout_seconds=1)
    await client.close()
    client._http = httpx.AsyncClient(
        base_url="http://inventory", transport=httpx.MockTransport(lambda _: httpx.Response(status))
    )
    with pytest.raises(error, match=f"answered {status}") as raised:
        await client.release("store", "user", RELEASE)
    if isinstance(raised.value, EffectRefused):
        assert raised.value.effect_id == "effect-1"
    await client.close()
