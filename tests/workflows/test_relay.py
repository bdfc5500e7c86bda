"""Relays on the real server: they wait, obey, deliver in order, and end."""

import time
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError

from models.errors import DependencyUnavailable
from models.relays import RelayInput, RelayKind
from tests.conftest import HISTORY_LENGTH
from tests.support.relays import Handle, RelayBench, attention, details, failing
from tests.support.waiting import eventually
from workflows import ids, policies
from workflows.relay import RelayWorkflow

FOR_EVER = 1000
KAFKA_IS_DOWN = DependencyUnavailable("kafka", "a test says so")


async def all_done(relays: RelayBench) -> None:
    assert not any(record.pending for record in await relays.shop.records())


async def pauses(relay: Handle) -> list[float]:
    """How long the relay meant to wait, each time, in seconds."""
    return [
        event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta().total_seconds()
        for event in (await relay.fetch_history()).events
        if event.HasField("timer_started_event_attributes")
    ]


async def test_it_retries_for_ever_and_delivers_in_the_order_of_each_cart(
    relays: RelayBench,
) -> None:
    for version in (1, 2, 3):
        for user in (relays.user(0), relays.user(1)):
            await relays.plant_event(version, user=user)
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=FOR_EVER)
    relay = await relays.wake()
    started = time.monotonic()
    for times in range(1, 7):
        progress = await failing(relay, times=times)
        assert (progress.done, progress.left, progress.down) == (0, 6, True)
        assert progress.problem == "kafka is unavailable: a test says so"
        if times == 6:
            relays.faults.heal()
        await relay.signal(RelayWorkflow.retry_now)
    assert await relay.result() == 6
    assert time.monotonic() - started < sum((1, 2, 4, 8, 15, 15))
    assert await pauses(relay) == [1, 2, 4, 8, 15, 15]
    for user in (relays.user(0), relays.user(1)):
        assert await relays.versions(user) == [1, 2, 3]
    await all_done(relays)


async def test_a_pause_ends_by_itself(relays: RelayBench) -> None:
    await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN)
    relay = await relays.wake()
    assert await relay.result() == 1
    assert await pauses(relay) == [1]


async def test_what_it_waits_for_is_shown_until_it_is_over(relays: RelayBench) -> None:
    await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=FOR_EVER)
    relay = await relays.wake()
    await failing(relay)
    shown = await details(relay)
    assert shown.startswith(f"events of shard {relays.shard}/")
    for part in ("**waiting** since ", "kafka is unavailable: a test says so", "1 records left"):
        assert part in shown
    assert await attention(relay)
    relays.faults.heal()
    await relay.signal(RelayWorkflow.retry_now)
    await relay.result()
    assert "waiting" not in await details(relay)
    assert not await attention(relay)


async def test_a_wake_does_not_shorten_the_pause_while_kafka_is_down(relays: RelayBench) -> None:
    await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=FOR_EVER)
    relay = await relays.wake()
    for times in (1, 2, 3):
        await failing(relay, times=times)
        await relay.signal(RelayWorkflow.retry_now)
    await failing(relay, times=4)
    tries = relays.faults.calls["publish"]
    await relays.wake()
    await relay.signal("something it does not know, which it has seen after the wake")

    async def heard() -> None:
        history = await relay.fetch_history()
        names = [
            event.workflow_execution_signaled_event_attributes.signal_name
            for event in history.events
        ]
        after = history.events[names.index(ids.WAKE, 5) + 1 :]
        assert any(event.HasField("workflow_task_completed_event_attributes") for event in after)

    await eventually(heard)
    assert relays.faults.calls["publish"] == tries
    relays.faults.heal()
    await relay.signal(RelayWorkflow.retry_now)
    assert await relay.result() == 1


async def test_paused_it_does_nothing_until_it_is_resumed(relays: RelayBench) -> None:
    effect = await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN)
    relay = await relays.wake()
    await failing(relay)
    await relay.signal(RelayWorkflow.pause)

    async def paused() -> None:
        assert "paused by an operator" in await details(relay)

    await eventually(paused)
    tries = relays.faults.calls["publish"]
    await relays.wake()
    await relay.signal(RelayWorkflow.retry_now)
    await eventually(paused)
    assert relays.faults.calls["publish"] == tries
    assert (await relays.effect(effect.id)).done_at is None
    await relay.signal(RelayWorkflow.resume)
    assert await relay.result() == 1
    assert await relays.versions() == [1]


async def test_with_an_empty_shard_it_ends(relays: RelayBench) -> None:
    relay = await relays.wake()
    assert await relay.result() == 0
    assert await relay.query(RelayWorkflow.pending) is not None


async def test_more_than_a_batch_is_delivered(
    relays: RelayBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "RELAY_BATCH", 2)
    for version in range(1, 8):
        await relays.plant_event(version)
    relay = await relays.wake()
    assert await relay.result() == 7
    assert await relays.versions() == [*range(1, 8)]


@pytest.mark.parametrize("after_a_failure", [False, True])
async def test_what_is_left_while_it_is_about_to_end_is_delivered(
    relays: RelayBench, after_a_failure: bool
) -> None:
    await relays.plant_event(1)
    if after_a_failure:
        relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=2)
    arrived, go_on = relays.faults.hold("mark_done")
    relay = await relays.wake()
    if after_a_failure:
        for times in (1, 2):
            await failing(relay, times=times)
            await relay.signal(RelayWorkflow.retry_now)
    await arrived.wait()
    run_id = (await relay.describe()).run_id
    # Its batch was read before this one was there.
    await relays.plant_event(2)
    await relays.wake()
    go_on.set()
    assert await relay.result() == 2
    assert (await relay.describe()).run_id == run_id
    assert await relays.versions() == [1, 2]


async def test_young_effects_are_left_to_their_sagas_for_a_moment(relays: RelayBench) -> None:
    effect = await relays.plant_event(age=timedelta(seconds=0))
    relay = await relays.wake()

    async def leaving() -> None:
        assert "leaving young effects" in await details(relay)

    await eventually(leaving)
    assert (await relays.effect(effect.id)).done_at is None
    assert not await attention(relay)
    assert await relay.result() == 1


async def test_a_long_history_is_left_behind_with_all_that_matters(relays: RelayBench) -> None:
    await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=FOR_EVER)
    relay = await relays.wake()
    await failing(relay)
    first = await relay.describe()
    await relay.signal(RelayWorkflow.pause)
    for _ in range(HISTORY_LENGTH):
        await relay.signal(RelayWorkflow.wake)

    async def renewed() -> None:
        assert (await relay.describe()).run_id != first.run_id
        assert "paused by an operator" in await details(relay)

    await eventually(renewed)
    assert await attention(relay)
    assert (await relay.describe()).status is WorkflowExecutionStatus.RUNNING
    [event, *_] = (await relay.fetch_history()).events
    converter = relays.shop.world.temporal.data_converter
    payloads = event.workflow_execution_started_event_attributes.input.payloads
    [carried] = await converter.decode(payloads, [RelayInput])
    assert (carried.paused, carried.failures) == (True, 1)
    assert carried.failing_since is not None
    assert carried.failing_since > first.start_time
    relays.faults.heal()
    await relay.signal(RelayWorkflow.resume)
    assert await relay.result() == 1
    assert not await attention(relay)


async def test_a_skip_is_kept_when_the_history_is_left_behind(relays: RelayBench) -> None:
    effect = await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=FOR_EVER)
    relay = await relays.wake()
    await failing(relay)
    arrived, go_on = relays.faults.hold("skip")
    for number in range(HISTORY_LENGTH):
        await relay.signal(RelayWorkflow.skip, args=[f"unknown-{number}", "for its length"])
    await relay.signal(RelayWorkflow.skip, args=[effect.id, "the last one"])
    await arrived.wait()
    go_on.set()
    await relay.result()
    assert (await relays.effect(effect.id)).skipped_because == "the last one"


async def test_a_cancelled_relay_ends(relays: RelayBench) -> None:
    await relays.plant_event()
    arrived, go_on = relays.faults.hold("publish")
    relay = await relays.wake()
    await arrived.wait()
    await relay.cancel()
    with pytest.raises(WorkflowFailureError):
        await relay.result()
    assert (await relay.describe()).status is WorkflowExecutionStatus.CANCELED
    go_on.set()


async def test_the_releases_relay_gives_holds_back(relays: RelayBench) -> None:
    await relays.shop.stock("headphones", 10)
    hold = {
        "storeId": relays.shop.store_id,
        "productId": "headphones",
        "quantity": 2,
        "userId": relays.user(0),
        "sagaId": "saga-1",
        "reservationType": "cart",
    }
    inventory = relays.shop.world.inventory
    (await inventory.post("/api/v1/inventories/reserve", json=hold)).raise_for_status()
    assert await relays.shop.units("headphones") == (8, 2, 0)
    await relays.plant_release("headphones", saga_id="saga-1")
    relays.faults.fail("release", "after", DependencyUnavailable("inventory"))
    relay = await relays.wake(RelayKind.RELEASES)
    await failing(relay)
    await relay.signal(RelayWorkflow.retry_now)
    assert await relay.result() == 1
    assert await relays.shop.units("headphones") == (10, 0, 0)
    await all_done(relays)


async def test_with_the_dependency_back_one_try_delivers_all_carts(relays: RelayBench) -> None:
    """Although the circuit is still open: a relay finds out that it need not be."""
    for number in range(4):
        await relays.plant_event(user=relays.user(number))
    circuit = relays.events._breaker
    circuit._cooldown = 3600
    with pytest.raises(DependencyUnavailable):
        async with circuit.guard():
            raise KAFKA_IS_DOWN
    assert circuit.is_open
    relay = await relays.wake()
    assert await relay.result() == 4
    assert await pauses(relay) == []
    assert not circuit.is_open
