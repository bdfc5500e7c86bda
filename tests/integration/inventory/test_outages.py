"""A kill of the process, and outages of its database."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial

import httpx
import pymongo
import pytest

from dev.stack.ports import more_free_ports
from tests.integration.inventory.service import (
    Warehouse,
    a_warehouse,
    eventually,
    running_inventory,
)


@pytest.mark.usefixtures("short_transactions")
async def test_a_killed_process_leaves_no_half_done_change(mongodb_uri: str) -> None:
    products = [f"p{number}" for number in range(16)]
    stocked = 1_000_000
    begun: Counter[str] = Counter()
    in_the_middle = asyncio.Event()

    async def change(warehouse: Warehouse, product: str) -> None:
        """Reserves and sells until the process is gone."""
        with suppress(httpx.TransportError):
            while True:
                begun[product] += 1
                number = begun[product]
                if begun.total() == 100:
                    in_the_middle.set()
                await warehouse.reserve(f"r{number}", 3, product=product)
                await warehouse.release(f"f{number}", 2, "order_completed", product=product)

    with running_inventory(mongodb_uri) as service:
        async with a_warehouse(service.url) as warehouse:
            store = warehouse.store
            for product in products:
                await warehouse.stock(stocked, product)
            async with asyncio.TaskGroup() as changes:
                for product in products:
                    changes.create_task(change(warehouse, product))
                await in_the_middle.wait()
                service.process.kill()
    with running_inventory(mongodb_uri) as service:
        async with a_warehouse(service.url) as warehouse:
            warehouse.store = store

            async def balance() -> tuple[dict[str, int], dict[str, int]]:
                units = {product: await warehouse.units(product) for product in products}
                assert all(sum(parts) == stocked for parts in units.values())
                listed = {product: n for (_, product), n in (await warehouse.held()).items()}
                return listed, {product: parts[1] for product, parts in units.items() if parts[1]}

            listed, held = await balance()
            assert listed == held
            assert held
            # All calls are repeated; each must have one effect. MongoDB aborts a transaction that
            # the dead process left open.
            for product in products:
                for number in range(1, begun[product] + 1):
                    reserve = partial(warehouse.reserve_status, f"r{number}", 3, product)
                    await eventually(reserve, 200)
            listed, held = await balance()
            assert listed == held


class Link:
    """A TCP relay to MongoDB: `cut` refuses connections, `freeze` stops data, `mend` ends it."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.open = asyncio.Event()
        self.writers: set[asyncio.StreamWriter] = set()
        self.server: asyncio.Server | None = None
        [self.port] = more_free_ports(1)

    async def mend(self) -> None:
        self.open.set()
        if self.server is None:
            self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def freeze(self) -> None:
        self.open.clear()

    async def cut(self) -> None:
        self.open.clear()
        if self.server is not None:
            self.server.close()
            self.server = None
        for writer in list(self.writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self._pump(reader, onward), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        with suppress(OSError):
            while data := await reader.read(65536):
                await self.open.wait()
                writer.write(data)
                await writer.drain()
        self.writers.discard(writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def link(mongodb_uri: str) -> AsyncIterator[Link]:
    host = pymongo.uri_parser.parse_uri(mongodb_uri)["nodelist"][0]
    link = Link(host[1])
    yield link
    await link.cut()


@pytest.mark.usefixtures("short_transactions")
async def test_without_its_database_the_service_fails_soon_and_recovers(link: Link) -> None:
    uri = f"mongodb://127.0.0.1:{link.port}/?directConnection=true&heartbeatFrequencyMS=500"
    # The service starts also without its database, so that no order of starts is needed.
    with running_inventory(uri) as service:
        async with a_warehouse(service.url) as warehouse:
            health = partial(warehouse.call, "GET", "/health")
            assert await health() == (503, {"status": "unhealthy"})
            await link.mend()
            await eventually(health, (200, {"status": "healthy"}))
            for outage in (link.cut, link.freeze):
                await check_outage(outage, link, warehouse)


async def check_outage(
    outage: Callable[[], Awaitable[None]], link: Link, warehouse: Warehouse
) -> None:
    """Checks the responses during an outage, and the stored state after it."""
    warehouse.store = uuid.uuid4().hex
    health = partial(warehouse.call, "GET", "/health")
    await warehouse.stock(10)
    assert (await warehouse.reserve("s1", 3))[0] == 200

    await outage()
    began = time.monotonic()
    answers = await asyncio.gather(
        health(),
        warehouse.reserve("s2", 2),
        warehouse.reserve("s3", 2),
        warehouse.release("s1", 3),
        warehouse.stock(5, product="pen"),
        warehouse.page(),
    )
    assert time.monotonic() - began < 10
    assert [status for status, _ in answers] == [503] * len(answers)
    assert all(body["message"] for _, body in answers[1:])

    await link.mend()
    await eventually(health, (200, {"status": "healthy"}))
    # MongoDB aborts a transaction that the outage left open.
    released = (200, {"success": True, "released": 3})
    await eventually(partial(warehouse.release, "s1", 3), released)
    await eventually(partial(warehouse.reserve_status, "s2", 2), 200)
    await warehouse.release("s3")
    assert await warehouse.units() == (8, 2, 0)
