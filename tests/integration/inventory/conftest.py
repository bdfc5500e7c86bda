"""The reference Inventory Service over HTTP, on the stack's MongoDB.

What must hold for whoever calls it: nothing is sold twice, nothing held is lost, and repeating,
undoing and racing are harmless. Every test has a store of its own, so they can run in any order.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from dev.inventory_service.store import Store
from dev.stack.stack import Stack
from tests.integration.inventory.service import (
    Warehouse,
    a_warehouse,
    running_inventory,
)


@pytest.fixture(scope="session")
def mongodb_uri(stack: Stack) -> str:
    """The stack's MongoDB; every test has a store of its own there."""
    return stack.settings.mongodb.get_secret_value()


@pytest.fixture(scope="session")
def inventory_url(mongodb_uri: str) -> Iterator[str]:
    """The service, as a process of its own, with fault injection."""
    with running_inventory(mongodb_uri, INVENTORY_FAULTS="1") as service:
        yield service.url


@pytest.fixture
async def short_transactions(mongodb_uri: str) -> AsyncIterator[None]:
    """The server ends a transaction that was left open after one second, not five."""
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
    """Two stores on one database, as two processes would be: no lock between them."""
    first, second = Store(mongodb_uri, call_seconds=10), Store(mongodb_uri, call_seconds=10)
    await first.prepare()
    await second.prepare()
    yield first, second
    await first.close()
    await second.close()
