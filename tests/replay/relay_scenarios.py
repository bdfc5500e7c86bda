"""Scenarios of relays, with each of their signals."""

from models.effects import EffectKind
from tests.replay.common import KAFKA_IS_DOWN, Run, Scenario
from tests.support.relays import TOO_LARGE, RelayBench, details, wait_for_failure
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows.relay import RelayWorkflow


async def relay_delivering(bench: Bench, relays: RelayBench) -> Run:
    for version in (1, 2, 3):
        await relays.plant_event(version)
    return await relays.wake()


async def relay_failing_and_retried(bench: Bench, relays: RelayBench) -> Run:
    await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=2)
    relay = await relays.wake()
    for times in (1, 2):
        await wait_for_failure(relay, times=times)
        await relay.signal(RelayWorkflow.retry_now)
    return relay


async def relay_paused_and_resumed(bench: Bench, relays: RelayBench) -> Run:
    await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN)
    relay = await relays.wake()
    await wait_for_failure(relay)
    await relay.signal(RelayWorkflow.pause)

    async def paused() -> None:
        assert "paused" in await details(relay)

    await eventually(paused)
    await relay.signal(RelayWorkflow.resume)
    return relay


async def relay_skipping(bench: Bench, relays: RelayBench) -> Run:
    poison = await relays.plant_event(1, size=TOO_LARGE)
    await relays.plant_event(2)
    relay = await relays.wake()
    await wait_for_failure(relay)
    await relay.signal(RelayWorkflow.skip, args=[poison.id, "cannot be delivered"])
    return relay


async def relay_of_releases(bench: Bench, relays: RelayBench) -> Run:
    await relays.plant_release("headphones", saga_id="saga-1")
    return await relays.wake(EffectKind.RELEASE)


async def relay_woken_while_it_delivers(bench: Bench, relays: RelayBench) -> Run:
    await relays.plant_event(1)
    arrived, go_on = relays.faults.hold("mark_done")
    relay = await relays.wake()
    await arrived.wait()
    await relays.plant_event(2)
    await relays.wake()
    go_on.set()
    return relay


SCENARIOS: tuple[Scenario, ...] = (
    relay_delivering,
    relay_failing_and_retried,
    relay_paused_and_resumed,
    relay_skipping,
    relay_of_releases,
    relay_woken_while_it_delivers,
)
