"""The programs of `examples/` do what their pages say."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from dev.stack.ports import more_free_ports
from settings import LOCALHOST
from tests.support.commands import cart
from tests.support.shop import Shop
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *arguments, cwd=ROOT)
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def test_the_inventory_keeps_every_rule() -> None:
    [port] = more_free_ports(1)
    url = f"http://{LOCALHOST}:{port}"
    async with (
        running("uvicorn", "examples.inventory:app", "--port", str(port), "--log-level", "error"),
        httpx.AsyncClient(base_url=url, timeout=30) as http,
    ):

        async def answers() -> None:
            try:
                (await http.get("/health")).raise_for_status()
            except httpx.TransportError as error:
                raise AssertionError(str(error)) from error

        await eventually(answers)
        ran = await cart("doctor", "--inventory", "store-1", "lamp", INVENTORY_SERVICE_URL=url)
        assert ran.code == 0, ran.output


@pytest.mark.parametrize(("quantity", "paid"), [(1, True), (7, False)])
async def test_the_order_service_ends_checkouts(shop: Shop, quantity: int, paid: bool) -> None:
    await shop.stock("lamp", 10)
    buyer = shop.buyer()
    brokers = ",".join(shop.world.settings.kafka)
    async with running("examples.orders", "--brokers", brokers, "--group", uuid4().hex):
        assert (await buyer.add("lamp", quantity)).status_code == 201
        checkout = await shop.world.http.post(f"{buyer.path}/checkout", headers=buyer.headers)
        assert checkout.status_code == 201, checkout.text

        async def ended() -> None:
            available, held, sold = await shop.units("lamp")
            left = await buyer.cart()
            if paid:
                assert (left, available, held, sold) == (None, 10 - quantity, 0, quantity)
            else:
                assert left is not None
                assert left.checkout is None
                assert (available, held, sold) == (10 - quantity, quantity, 0)

        await eventually(ended, timeout=60)
