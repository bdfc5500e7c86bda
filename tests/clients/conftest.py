"""A shop for generated clients to buy from."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cli.token import mint_token
from tests.clients.tools import run
from tests.support.shop import Shop

UNITS = 10
ROOT = Path(__file__).parents[2]

Buy = Callable[..., Awaitable[None]]


@pytest.fixture(scope="session")
def openapi() -> Path:
    """The checked-in OpenAPI document. A unit test keeps it current."""
    return ROOT / "docs" / "openapi.json"


@pytest.fixture(scope="session")
def asyncapi() -> Path:
    """The checked-in AsyncAPI document. A unit test keeps it current."""
    return ROOT / "docs" / "asyncapi.json"


async def environment_of(shop: Shop, *products: str) -> dict[str, str]:
    """Stocks the products, makes the first add of a lamp so slow that it is answered with 202, and
    returns the environment of a client's program."""
    for product in products:
        await shop.stock(product, UNITS)
    settings = shop.world.settings
    slow = settings.operation_wait_seconds + 1
    await shop.fault("reserve", "delay", seconds=slow, productId="lamp", storeId=shop.store_id)
    return {
        "CART_URL": f"http://127.0.0.1:{settings.port}",
        "CART_STORE": shop.store_id,
        "CART_TOKEN": mint_token(settings, user="generated-client"),
        "CART_ADMIN_TOKEN": mint_token(settings, user="boss", role="admin", store=shop.store_id),
    }


@pytest.fixture
async def buy(shop: Shop) -> Buy:
    """Runs the program of a client against the service, and checks what it has left.

    The program adds 2 `headphones`, wants 50 more (refused), changes them to 5, lists the store's
    carts, adds a `lamp` that is accepted with 202 and polls its operation, removes the headphones,
    clears the cart and finds none. It prints `done` at the end.
    """
    env = await environment_of(shop, "headphones", "lamp")

    async def bought(*command: str | Path, cwd: Path) -> None:
        output = await asyncio.to_thread(run, *command, cwd=cwd, **env)
        assert output.splitlines()[-1:] == ["done"], output
        states = [(record.operation, record.state) for record in await shop.records()]
        assert states == [
            ("AddItem", "committed"),
            ("AddItem", "rejected"),
            ("UpdateQuantity", "committed"),
            ("AddItem", "committed"),
            ("RemoveItem", "committed"),
            ("ClearCart", "committed"),
        ]
        for product in ("headphones", "lamp"):
            assert (await shop.units(product))[0] == UNITS

    return bought
