"""Relays on the Temporal server: pauses, signals, the order of delivery, and their end."""

import re
import time
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError

from models.effects import EffectKind
from models.errors import DependencyUnavailable
from models.relays import RelayInput
from tests.conftest import HISTORY_LENGTH
from tests.support.call_faults import FOR_EVER
from tests.support.relays import RelayBench, RelayHandle, details, needs_attention, wait_for_failure
from tests.support.waiting import eventually
from workflows import ids, policies
from workflows.relay import RelayWorkflow

KAFKA_IS_DOWN = DependencyUnavailable("kafka", "for a test")


async def all_done(relays: RelayBench) -> None:
    assert not any(record.pending for record in await relays.shop.records())


async def pauses(relay: RelayHandle) -> list[float]:
    """The seconds of each pause that the relay has begun."""
    return [
        event.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta().total_seconds()
        for event in (await relay.fetch_history()).events
        if event.HasField("timer_started_event_attributes")
    ]


async def test_failed_deliveries_are_retried_and_stay_in_the_order_of_each_cart(
    relays: RelayBench,
) -> None:
    for version in (1, 2, 3):
        for user in (relays.user(0), relays.user(1)):
            await relays.plant_event(version, user=user)
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=FOR_EVER)
    relay = await relays.wake()
    started = time.monotonic()
    for times in range(1, 7):
        progress = await wait_for_failure(relay, times=times)
        assert (progress.done, progress.left, progress.down) == (0, 6, True)
        assert progress.problem == "kafka is unavailable: for a test"
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


async def test_the_cause_of_a_pause_is_shown_until_it_ends(relays: RelayBench) -> None:
    await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=FOR_EVER)
    relay = await relays.wake()
    await wait_for_failure(relay)
    shown = await details(relay)
    assert shown.startswith(f"events of shard {relays.shard}/")
    for part in ("**waiting** since ", "kafka is unavailable: for a test", "1 records left"):
        assert part in shown
    assert await needs_attention(relay)
    relays.faults.heal()
    await relay.signal(RelayWorkflow.retry_now)
    await relay.result()
    assert "waiting" not in await details(relay)
    assert not await needs_attention(relay)


async def test_a_wake_does_not_end_a_pause_while_kafka_is_down(relays: RelayBench) -> None:
    await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=FOR_EVER)
    relay = await relays.wake()
    for times in (1, 2, 3):
        await wait_for_failure(relay, times=times)
        await relay.signal(RelayWorkflow.retry_now)
    await wait_for_failure(relay, times=4)
    tries = relays.faults.calls["publish"]
    await relays.wake()
    await relay.signal("a signal without a handler, which is processed after the wake")

    async def wake_processed() -> None:
        history = await relay.fetch_history()
        names = [
            event.workflow_execution_signaled_event_attributes.signal_name
            for event in history.events
        ]
        after = history.events[names.index(ids.WAKE, 5) + 1 :]
        assert any(event.HasField("workflow_task_completed_event_attributes") for event in after)

    await eventually(wake_processed)
    assert relays.faults.calls["publish"] == tries
    relays.faults.heal()
    await relay.signal(RelayWorkflow.retry_now)
    assert await relay.result() == 1


async def test_a_paused_relay_delivers_nothing_until_it_is_resumed(relays: RelayBench) -> None:
    effect = await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN)
    relay = await relays.wake()
    await wait_for_failure(relay)
    await relay.signal(RelayWorkflow.pause)

    async def paused() -> None:
        assert re.search(r"paused since .* UTC by an operator", await details(relay))

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


async def test_a_relay_without_pending_effects_ends(relays: RelayBench) -> None:
    relay = await relays.wake()
    assert await relay.result() == 0
    assert (await relay.query(RelayWorkflow.status)).last.left == 0


async def test_more_effects_than_a_batch_are_delivered(
    relays: RelayBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "RELAY_BATCH", 2)
    for version in range(1, 8):
        await relays.plant_event(version)
    relay = await relays.wake()
    assert await relay.result() == 7
    assert await relays.versions() == [*range(1, 8)]


@pytest.mark.parametrize("after_a_failure", [False, True])
async def test_an_effect_that_arrives_while_the_relay_is_about_to_end_is_delivered(
    relays: RelayBench, after_a_failure: bool
) -> None:
    await relays.plant_event(1)
    if after_a_failure:
        relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=2)
    arrived, go_on = relays.faults.hold("mark_done")
    relay = await relays.wake()
    if after_a_failure:
        for times in (1, 2):
            await wait_for_failure(relay, times=times)
            await relay.signal(RelayWorkflow.retry_now)
    await arrived.wait()
    run_id = (await relay.describe()).run_id
    # The relay has read its batch before this effect is stored.
    await relays.plant_event(2)
    await relays.wake()
    go_on.set()
    assert await relay.result() == 2
    assert (await relay.describe()).run_id == run_id
    assert await relays.versions() == [1, 2]


async def test_a_young_effect_is_left_to_its_saga_for_a_moment(relays: RelayBench) -> None:
    effect = await relays.plant_event(age=timedelta(seconds=-2))  # young for 2 s more
    relay = await relays.wake()

    async def leaving() -> None:
        assert "0 delivered, 1 records left, the next due in " in await details(relay)

    await eventually(leaving)
    assert (await relays.effect(effect.id)).done_at is None
    assert not await needs_attention(relay)
    assert await relay.result() == 1


async def test_a_relay_with_a_long_history_continues_as_new_with_its_state(
    relays: RelayBench,
) -> None:
    await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=FOR_EVER)
    relay = await relays.wake()
    await wait_for_failure(relay)
    first = await relay.describe()
    await relay.signal(RelayWorkflow.pause)
    for _ in range(HISTORY_LENGTH):
        await relay.signal(RelayWorkflow.wake)

    async def renewed() -> None:
        assert (await relay.describe()).run_id != first.run_id
        assert re.search(r"paused since .* UTC by an operator", await details(relay))

    await eventually(renewed)
    assert await needs_attention(relay)
    assert (await relay.describe()).status is WorkflowExecutionStatus.RUNNING
    [event, *_] = (await relay.fetch_history()).events
    converter = relays.shop.world.temporal.data_converter
    payloads = event.workflow_execution_started_event_attributes.input.payloads
    [carried] = await converter.decode(payloads, [RelayInput])
    assert (carried.paused, carried.failures) == (True, 1)
    assert carried.paused_since is not None
    assert carried.paused_since > first.start_time
    assert carried.failing_since is not None
    assert carried.failing_since > first.start_time
    relays.faults.heal()
    await relay.signal(RelayWorkflow.resume)
    assert await relay.result() == 1
    assert not await needs_attention(relay)


async def test_a_skip_is_kept_when_the_relay_continues_as_new(relays: RelayBench) -> None:
    effect = await relays.plant_event()
    relays.faults.fail("publish", "before", KAFKA_IS_DOWN, times=FOR_EVER)
    relay = await relays.wake()
    await wait_for_failure(relay)
    arrived, go_on = relays.faults.hold("skip")
    for number in range(HISTORY_LENGTH):
        await relay.signal(
            RelayWorkflow.skip, args=[f"unknown-{number}", "to lengthen the history"]
        )
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


async def test_the_relay_of_releases_releases_holds(relays: RelayBench) -> None:
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
    relay = await relays.wake(EffectKind.RELEASE)
    await wait_for_failure(relay)
    await relay.signal(RelayWorkflow.retry_now)
    assert await relay.result() == 1
    assert await relays.shop.units("headphones") == (10, 0, 0)
    await all_done(relays)


async def test_one_try_delivers_all_carts_when_the_dependency_is_back(relays: RelayBench) -> None:
    """A relay tries although the circuit breaker is still open, and closes it."""
    for number in range(4):
        await relays.plant_event(user=relays.user(number))
    circuit = relays.events.breaker
    circuit._cooldown = 3600
    while not circuit.is_open:
        with pytest.raises(DependencyUnavailable):
            async with circuit.guard():
                raise KAFKA_IS_DOWN
    relay = await relays.wake()
    assert await relay.result() == 4
    assert await pauses(relay) == []
    assert not circuit.is_open
