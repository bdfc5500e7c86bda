"""The reference Inventory Service over HTTP, on the stack's MongoDB.

Its rules: no unit is sold twice, no held unit is lost, and repeated, undone and concurrent calls
are safe. Every test has its own store, so the tests can run in any order.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from dev.inventory_service.store import Store
from dev.stack.stack import Stack
from tests.integration.inventory.service import Warehouse, a_warehouse, running_inventory


@pytest.fixture(scope="session")
def mongodb_uri(stack: Stack) -> str:
    """The stack's MongoDB."""
    return stack.settings.mongodb.get_secret_value()


@pytest.fixture(scope="session")
def inventory_url(mongodb_uri: str) -> Iterator[str]:
    """A process of the service with fault injection."""
    with running_inventory(mongodb_uri, INVENTORY_FAULTS="1") as service:
        yield service.url


@pytest.fixture
async def short_transactions(mongodb_uri: str) -> AsyncIterator[None]:
    """MongoDB aborts an open transaction after one second instead of five."""
    async with AsyncMongoClient[dict[str, Any]](mongodb_uri) as client:
        name = "transactionLifetimeLimitSeconds"
        before = await client.admin.command({"getParameter": 1, name: 1})
        await client.admin.command({"setParameter": 1, name: 1})
        yield
        await client.admin.command({"setParameter": 1, name: before[name]})


@pytest.fixture
async def warehouse(inventory_url: str) -> AsyncIterator[Warehouse]:
    async with a_warehouse(inventory_url) as warehouse:
        yield warehouse
        await warehouse.client.delete("/faults")


@pytest.fixture
async def stores(mongodb_uri: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two stores on one database, as in two processes: without a common lock."""
    first, second = Store(mongodb_uri, call_seconds=10), Store(mongodb_uri, call_seconds=10)
    await first.prepare()
    await second.prepare()
    yield first, second
    await first.close()
    await second.close()
