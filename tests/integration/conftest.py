"""A producer for events of other services, and a handler of them in the test's process."""

from collections.abc import AsyncIterator

import pytest

from adapters.kafka.dead_letters import DeadLetters
from adapters.kafka.publisher import EventPublisher
from adapters.mongo.operations import OperationStore
from adapters.mongo.store_policies import StorePolicies
from adapters.mongo.store_settings import StoreSettingsStore
from dev.stack.stack import Stack
from tests.support.events import OtherServices, other_services
from tests.support.keys import KEYRING
from tests.support.shop import Shop
from workflows.event_handler import EventHandler
from workflows.gateway import CartGateway
from workflows.requests import policy_of


@pytest.fixture
async def others(stack: Stack) -> AsyncIterator[OtherServices]:
    """Sends events to the service."""
    async with other_services(stack.settings) as services:
        yield services


@pytest.fixture
async def handler(shop: Shop) -> AsyncIterator[EventHandler]:
    """An event handler in this process, which a test can patch."""
    settings = shop.world.settings
    publisher = EventPublisher(settings)
    gateway = CartGateway(
        shop.world.temporal, task_queue=settings.temporal_task_queue, lock_wait_seconds=5
    )
    policies = StorePolicies(policy_of(settings), StoreSettingsStore().read_all)
    carts = shop.world.carts
    yield EventHandler(
        gateway,
        OperationStore(carts.client, KEYRING),
        carts,
        DeadLetters(publisher),
        policies=policies,
    )
    await publisher.close()
