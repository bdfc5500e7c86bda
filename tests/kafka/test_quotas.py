"""A broker that limits how much a client sends: adds go on, and their events follow in order.

The broker answers, and does not read the client's next request for as long as it is over its quota:
https://kafka.apache.org/documentation/#design_quotas
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from temporalio.service import RPCError

from dev.stack.production import builds
from dev.stack.stack import Stack
from models.outcomes import Outcome
from tests.kafka.test_outages import pending
from tests.support.relays import RelayBench
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows.relay import RelayWorkflow

ADDS = 15
BYTES_PER_SECOND = 1000
"""About one event."""


async def _configure(broker: Stack, *change: str) -> None:
    """Changes the quotas of all clients with Kafka's own tool."""
    process = await asyncio.create_subprocess_exec(
        *(builds.java(), "-Xmx128m", "-cp", f"{builds.kafka_jars()}/*"),
        *("kafka.admin.ConfigCommand", "--bootstrap-server", broker.settings.kafka[0]),
        *("--alter", "--entity-type", "clients", "--entity-default", *change),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


@asynccontextmanager
async def quota(broker: Stack) -> AsyncIterator[None]:
    await _configure(broker, "--add-config", f"producer_byte_rate={BYTES_PER_SECOND}")
    try:
        yield
    finally:
        await _configure(broker, "--delete-config", "producer_byte_rate")


async def test_sagas_commit_over_the_quota_and_their_events_follow(
    relays: RelayBench, broker: Stack
) -> None:
    shop = relays.shop
    carts = [Buyer(shop, relays.user(number), {}) for number in range(4)]
    await shop.stock("headphones", 1000)
    bench = Bench(shop, relays.faults, relays.settings.temporal_task_queue)

    async def shopping(buyer: Buyer) -> None:
        for _ in range(ADDS):
            assert (await bench.add(buyer, 1)).outcome is Outcome.COMMITTED

    async with quota(broker):
        await asyncio.gather(*map(shopping, carts))
        assert sum(await pending(shop, carts)) > 0, "the quota held nothing back"
    with suppress(RPCError):  # the relay has ended already
        await relays.handle().signal(RelayWorkflow.retry_now)

    async def all_published() -> None:
        assert await pending(shop, carts) == [0] * len(carts)

    await eventually(all_published, timeout=60)
    for buyer in carts:
        assert await relays.versions(buyer.user_id) == [*range(1, ADDS + 1)]
    await shop.assert_consistent()
