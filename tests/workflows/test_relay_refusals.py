"""An effect that can never be done delays only its own cart, is shown, and can be skipped."""

import pytest

from models.effects import EffectKind
from models.relays import doubling_pause
from tests.support.relays import TOO_LARGE, RelayBench, details, needs_attention, wait_for_failure
from tests.support.waiting import eventually
from workflows import policies
from workflows.relay import RelayWorkflow


async def test_an_oversized_event_delays_only_its_own_cart(relays: RelayBench) -> None:
    stuck, other = relays.user(0), relays.user(1)
    poison = await relays.plant_event(1, user=stuck, size=TOO_LARGE)
    await relays.plant_event(2, user=stuck)
    await relays.plant_event(1, user=other)
    await relays.plant_event(2, user=other)
    relay = await relays.wake()
    progress = await wait_for_failure(
        relay, times=2
    )  # the first failure came before the rest was delivered
    assert (progress.refused, progress.left) == ((poison.id,), 2)
    assert not progress.down
    assert f"kafka refuses effect {poison.id}: " in await details(relay)
    assert await needs_attention(relay)
    assert await relays.versions(other) == [1, 2]

    # A wake during the pause delivers the effects of other carts.
    for times in (3, 4, 5):
        await relay.signal(RelayWorkflow.retry_now)
        await wait_for_failure(relay, times=times)
    late = await relays.plant_event(3, user=other)
    await relays.wake()

    async def delivered() -> None:
        assert (await relays.effect(late.id)).done_at is not None

    await eventually(delivered, timeout=doubling_pause(5).total_seconds() / 2)

    await relay.signal(RelayWorkflow.skip, args=[poison.id, "cannot be delivered"])
    assert await relay.result() == 4
    skipped = await relays.effect(poison.id)
    assert skipped.skipped_because == "cannot be delivered"
    assert skipped.done_at is not None
    assert await relays.versions(stuck) == [2]
    assert await relays.versions(other) == [1, 2, 3]
    assert not await needs_attention(relay)


async def test_effects_of_a_delayed_cart_do_not_fill_the_batches(
    relays: RelayBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "RELAY_BATCH", 2)
    stuck, other = relays.user(0), relays.user(1)
    await relays.plant_event(1, user=stuck, size=TOO_LARGE)
    for version in range(2, 6):
        await relays.plant_event(version, user=stuck)
    for version in range(1, 6):
        await relays.plant_event(version, user=other)
    await relays.wake()

    async def delivered() -> None:
        assert await relays.versions(other) == [1, 2, 3, 4, 5]

    await eventually(delivered)
    assert await relays.versions(stuck) == []


async def test_a_skip_of_an_effect_that_is_not_pending_changes_nothing(relays: RelayBench) -> None:
    poison = await relays.plant_event(1, size=TOO_LARGE)
    relay = await relays.wake()
    await wait_for_failure(relay)
    await relay.signal(RelayWorkflow.skip, args=["no such effect", "a slip"])
    await wait_for_failure(relay, times=2)
    effect = await relays.effect(poison.id)
    assert (effect.done_at, effect.skipped_because) == (None, None)


async def test_a_release_that_the_inventory_refuses_delays_only_its_own_cart(
    relays: RelayBench,
) -> None:
    await relays.shop.stock("headphones", 10)
    poison = await relays.plant_release(
        "headphones", user=relays.user(0), quantity=0, saga_id="saga-1"
    )
    good = await relays.plant_release("headphones", user=relays.user(1), saga_id="saga-2")
    relay = await relays.wake(EffectKind.RELEASE)
    progress = await wait_for_failure(relay, times=2)
    assert progress.refused == (poison.id,)
    assert progress.problem is not None
    assert progress.problem.startswith(f"inventory refuses effect {poison.id}: ")
    assert progress.problem.endswith("answered 400")
    assert (await relays.effect(good.id)).done_at is not None


async def test_an_unexpected_error_delays_only_its_own_cart(relays: RelayBench) -> None:
    events = [await relays.plant_event(1, user=relays.user(number)) for number in range(2)]
    relays.faults.fail("publish", "before", KeyError("a bug"))
    relay = await relays.wake()
    assert await relay.result() == 2
    history = str(await relay.fetch_history()).replace("\\", "")
    problems = [f"effect {event.id} cannot be done: KeyError('a bug')" for event in events]
    assert [problem in history for problem in problems].count(True) == 1, "the one that met it"
    for number in range(2):
        assert await relays.versions(relays.user(number)) == [1]
