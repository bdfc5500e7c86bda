"""Batches with a failure at each step: the stored state after their end."""

from typing import Any

import pytest

from models.batch import BatchStep
from models.errors import DependencyUnavailable
from models.operations import ApplyBatch
from models.outcomes import OperationResult, Outcome, RefusalCode
from tests.support.batches import add, put, remove
from tests.support.call_faults import FOR_EVER, SHORT_DEADLINE, When
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows.apply_batch import ApplyBatchWorkflow

CHANGES = (put("headphones", 5), add("lamp", 2), add("pen", 1), add("lamp", 1))


async def perform(
    bench: Bench, buyer: Buyer, *steps: BatchStep, mode: str = "all_or_nothing", **options: Any
) -> OperationResult:
    common = bench.common(buyer, str(steps), **options)
    batch = ApplyBatch.model_validate(common | {"steps": steps, "mode": mode})
    handle = await bench.run(ApplyBatchWorkflow.run, buyer, batch)
    return await handle.result()


@pytest.fixture
async def buyer(bench: Bench) -> Buyer:
    """A buyer with two headphones in the cart, and a shop with five lamps and one pen."""
    await bench.shop.stock("lamp", 5)
    await bench.shop.stock("pen", 1)
    buyer = bench.shop.buyer()
    assert (await bench.add(buyer)).outcome is Outcome.COMMITTED
    return buyer


async def assert_stored(bench: Bench, buyer: Buyer, version: int, **units: int) -> None:
    """The cart, the holds of all its lines, and nothing pending."""

    async def settled() -> None:
        holds = {product: held for (_, product), held in (await bench.shop.holds()).items()}
        assert holds == units
        assert not any(record.pending for record in await bench.shop.records())

    await eventually(settled)
    cart = await buyer.cart()
    assert cart is not None
    assert (cart.version, cart.units) == (version, units)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("step", "dependency"),
    [("load", "mongodb"), ("reserve", "inventory"), ("persist", "mongodb"), ("publish", "kafka")],
)
async def test_a_step_that_fails_once_has_its_effect_once(
    bench: Bench, buyer: Buyer, *, step: str, dependency: str, when: When
) -> None:
    bench.faults.fail(step, when, DependencyUnavailable(dependency))
    result = await perform(bench, buyer, *CHANGES)
    assert result.outcome is Outcome.COMMITTED
    await assert_stored(bench, buyer, 2, headphones=5, lamp=3, pen=1)

    async def published() -> None:
        events = [one.value for one in await bench.shop.events() if one.value["version"] == 2]
        assert {(one["productId"], one["quantity"]) for one in events} == {
            ("headphones", 5),
            ("lamp", 3),
            ("pen", 1),
        }
        assert len({one["eventId"] for one in events}) == 3

    await eventually(published)


async def test_too_few_units_of_one_product_undo_all(bench: Bench, buyer: Buyer) -> None:
    result = await perform(bench, buyer, *CHANGES, add("pen", 1), add("mug", 2))
    assert result.refusal is not None
    assert result.refusal.code is RefusalCode.INSUFFICIENT_STOCK
    assert [(one.product_id, one.wanted, one.available) for one in result.refusal.lines] == [
        ("mug", 2, 0),
        ("pen", 2, 1),
    ]
    await assert_stored(bench, buyer, 1, headphones=2)


async def test_a_batch_that_fails_at_its_pivot_undoes_all(bench: Bench, buyer: Buyer) -> None:
    bench.faults.fail("persist", "before", DependencyUnavailable("mongodb"), times=FOR_EVER)
    result = await perform(
        bench, buyer, *CHANGES, remove("headphones"), deadline_seconds=SHORT_DEADLINE
    )
    assert result.outcome is Outcome.ABORTED
    bench.faults.heal()
    await assert_stored(bench, buyer, 1, headphones=2)


async def test_an_outage_of_one_product_undoes_all(bench: Bench, buyer: Buyer) -> None:
    first = bench.faults.calls["reserve"] + 1
    for call in range(first + 1, first + 100):
        bench.faults.fail_at("reserve", call, "after", DependencyUnavailable("inventory"))
    result = await perform(bench, buyer, *CHANGES)
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "inventory_unavailable")
    bench.faults.heal()
    await assert_stored(bench, buyer, 1, headphones=2)


async def test_best_effort_does_what_can_be_done(bench: Bench, buyer: Buyer) -> None:
    steps = (add("lamp", 3), add("lamp", 3), put("mug", 1), add("pen", 1), put("headphones", 1))
    result = await perform(bench, buyer, *steps, mode="best_effort")
    assert result.outcome is Outcome.COMMITTED
    await assert_stored(bench, buyer, 2, headphones=1, lamp=3, pen=1)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_best_effort_that_fails_at_its_pivot_undoes_all(
    bench: Bench, buyer: Buyer, when: When
) -> None:
    bench.faults.fail("persist", when, DependencyUnavailable("mongodb"))
    result = await perform(
        bench, buyer, add("lamp", 3), add("lamp", 3), mode="best_effort", deadline_seconds=10
    )
    assert result.outcome is Outcome.COMMITTED
    await assert_stored(bench, buyer, 2, headphones=2, lamp=3)


async def test_best_effort_of_which_nothing_can_be_done_changes_nothing(
    bench: Bench, buyer: Buyer
) -> None:
    result = await perform(bench, buyer, add("mug", 1), remove("pen"), mode="best_effort")
    assert result.outcome is Outcome.COMMITTED
    await assert_stored(bench, buyer, 1, headphones=2)


async def test_a_batch_that_changes_nothing_has_no_record(bench: Bench, buyer: Buyer) -> None:
    result = await perform(bench, buyer, put("headphones", 2))
    assert result.outcome is Outcome.UNCHANGED
    assert len(await bench.shop.records()) == 1
