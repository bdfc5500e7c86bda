"""A reserve that was never sent, or was refused, leaves no release; any doubt leaves one."""

from dataclasses import replace

import pytest

from models.effects import EffectKind
from models.errors import DependencyUnavailable, NotSent
from models.outcomes import Outcome
from tests.support.call_faults import FOR_EVER, When
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows.steps import FIRST_TASK_EVENTS

TRIES = 3
NOT_SENT = NotSent("inventory", "circuit open")
LOST = DependencyUnavailable("inventory", "the answer is lost")


async def recorded(bench: Bench) -> tuple[str, list[str]]:
    """The state of the only record, and the kinds of its effects."""
    [record] = await bench.shop.records()
    return record.state, [effect.kind for effect in record.effects]


async def test_an_add_that_was_never_sent_has_nothing_to_release(bench: Bench) -> None:
    bench = replace(bench, task_seconds=10)  # only the first task knows what was sent
    bench.faults.fail("reserve", "before", NOT_SENT, times=FOR_EVER)
    result = await bench.add(bench.shop.buyer())
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "inventory_unavailable")
    assert bench.faults.calls["reserve"] == TRIES
    assert bench.faults.calls["release"] == 0
    assert await recorded(bench) == ("aborted", [])


async def test_an_add_that_is_sent_in_its_last_try_commits(bench: Bench) -> None:
    bench.faults.fail("reserve", "before", NOT_SENT, times=TRIES - 1)
    assert (await bench.add(bench.shop.buyer())).outcome is Outcome.COMMITTED
    await bench.shop.assert_consistent()


@pytest.mark.parametrize("sent", range(TRIES))
async def test_one_try_that_was_sent_is_enough_for_a_release(bench: Bench, sent: int) -> None:
    when: When
    for attempt in range(TRIES):
        when, error = ("after", LOST) if attempt == sent else ("before", NOT_SENT)
        bench.faults.fail_at("reserve", attempt + 1, when, error)
    result = await bench.add(bench.shop.buyer())
    assert result.reason == "inventory_unavailable"
    assert await recorded(bench) == ("aborted", [EffectKind.RELEASE])

    async def released() -> None:
        assert await bench.shop.units("headphones") == (10, 0, 0)

    await eventually(released)


async def test_a_refused_add_has_nothing_to_release(bench: Bench) -> None:
    result = await bench.add(bench.shop.buyer(), 11)
    assert result.outcome is Outcome.REJECTED
    assert bench.faults.calls["release"] == 0
    assert await recorded(bench) == ("rejected", [])


async def test_a_later_try_of_the_saga_does_not_know_what_the_first_has_sent(bench: Bench) -> None:
    """The step outlasts the first workflow task, so the task is not the first any more."""
    arrived, go_on = bench.faults.hold("reserve")
    bench.faults.fail("reserve", "before", NOT_SENT, times=FOR_EVER)
    handle = await bench.start(bench.shop.buyer())
    await arrived.wait()

    async def second_task() -> None:
        assert len((await handle.fetch_history()).events) > FIRST_TASK_EVENTS

    await eventually(second_task)
    go_on.set()
    assert (await handle.result()).reason == "inventory_unavailable"
    assert await recorded(bench) == ("aborted", [EffectKind.RELEASE])
