"""An update loads and reserves in one step: what that step may hold, and what becomes of it."""

from typing import Any

import pytest

from models.errors import DependencyTimeout, DependencyUnavailable
from models.messages import Outcome, UpdateQuantityInput
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench, Handle
from workflows.update_quantity import UpdateQuantityWorkflow

OTHER_CART = "0" * 24
AS_IT_WAS = (8, 2, 0)


async def start(
    bench: Bench,
    buyer: Buyer,
    quantity: int = 5,
    *,
    policy: dict[str, Any] | None = None,
    **more: Any,
) -> Handle:
    """Starts an update of the buyer's two headphones; `more` are other fields of its input."""
    cart = await buyer.cart()
    assert cart is not None
    fields: dict[str, Any] = bench.common(buyer, f"set {quantity}", **(policy or {}))
    fields |= {"cart_id": str(cart.id), "product_id": "headphones", "quantity": quantity}
    update = UpdateQuantityInput(**fields | more)
    return await bench.run(UpdateQuantityWorkflow.run, buyer, update)


async def assert_as_it_was(bench: Bench) -> None:
    """The two headphones are held, nothing else is, and nothing is left to do."""

    async def as_it_was() -> None:
        assert await bench.shop.units("headphones") == AS_IT_WAS
        assert not any(record.pending for record in await bench.shop.records())

    await eventually(as_it_was)
    await bench.shop.assert_consistent()


@pytest.fixture
async def buyer(bench: Bench) -> Buyer:
    """With two headphones in the cart."""
    buyer = bench.shop.buyer()
    assert (await bench.add(buyer)).outcome is Outcome.COMMITTED
    bench.faults.calls.clear()
    return buyer


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        pytest.param({"cart_id": OTHER_CART}, "cart_not_found", id="another cart"),
        pytest.param({"product_id": "cable"}, "item_not_found", id="a product it does not have"),
        pytest.param({"if_match": ('"old"',)}, "precondition_failed", id="a cart that has changed"),
        pytest.param({"policy": {"max_quantity": 4}}, "quantity_limit", id="more than is allowed"),
    ],
)
async def test_what_the_cart_refuses_is_refused_before_anything_is_reserved(
    bench: Bench, buyer: Buyer, refused: dict[str, Any], code: str
) -> None:
    result = await (await start(bench, buyer, **refused)).result()
    assert result.outcome is Outcome.REJECTED
    assert result.refusal is not None
    assert result.refusal.code == code
    assert bench.faults.calls["reserve"] == 0
    await assert_as_it_was(bench)


async def test_what_is_answered_already_is_not_reserved_again(bench: Bench, buyer: Buyer) -> None:
    once = {"key": "the same"}
    first = await (await start(bench, buyer, policy=once)).result()
    again = await (await start(bench, buyer, policy=once)).result()
    assert (first.outcome, again.outcome) == (Outcome.COMMITTED, Outcome.REPLAYED)
    assert bench.faults.calls["reserve"] == 1


async def test_too_few_units_hold_nothing(bench: Bench, buyer: Buyer) -> None:
    result = await (await start(bench, buyer, 11)).result()
    assert result.refusal is not None
    assert (result.refusal.code, result.refusal.available) == ("insufficient_stock", 8)
    assert bench.faults.calls["settle"] == 1  # whoever runs it again may not commit
    await assert_as_it_was(bench)


async def test_too_few_units_after_a_silence_are_given_back_all_the_same(
    bench: Bench, buyer: Buyer
) -> None:
    """The first call may still arrive; its release stops it."""
    bench.faults.fail("reserve", "after", DependencyUnavailable("inventory"))
    result = await (await start(bench, buyer, 11)).result()
    assert result.refusal is not None
    assert result.refusal.code == "insufficient_stock"
    assert (bench.faults.calls["reserve"], bench.faults.calls["release"]) == (2, 1)
    await assert_as_it_was(bench)


async def test_an_inventory_that_was_waited_for_once_is_not_asked_again(
    bench: Bench, buyer: Buyer
) -> None:
    bench.faults.fail("reserve", "after", DependencyTimeout("inventory"))
    result = await (await start(bench, buyer)).result()
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "inventory_unavailable")
    assert bench.faults.calls["reserve"] == 1
    await assert_as_it_was(bench)


async def test_an_inventory_that_keeps_failing_holds_nothing_in_the_end(
    bench: Bench, buyer: Buyer
) -> None:
    bench.faults.fail("reserve", "after", DependencyUnavailable("inventory"), times=4)
    result = await (await start(bench, buyer)).result()
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "inventory_unavailable")
    assert bench.faults.calls["reserve"] == 4
    await assert_as_it_was(bench)


async def test_a_deadline_inside_the_step_gives_back_what_it_has_reserved(
    bench: Bench, buyer: Buyer
) -> None:
    """The saga has not heard what the cart had, so it asks how many units to give back."""
    await bench.shop.fault("reserve", "commit_then_timeout", seconds=3)
    result = await (await start(bench, buyer, policy={"deadline_seconds": 0.8})).result()
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "deadline")
    assert (bench.faults.calls["load"], bench.faults.calls["release"]) == (2, 1)
    await assert_as_it_was(bench)


@pytest.mark.parametrize(
    ("quantity", "policy"),
    [
        pytest.param(1, {}, id="fewer units"),
        pytest.param(5, {"reserve": False}, id="a shop that reserves nothing"),
    ],
)
async def test_a_deadline_inside_the_step_gives_nothing_back_that_it_cannot_have_reserved(
    bench: Bench, buyer: Buyer, quantity: int, policy: dict[str, Any]
) -> None:
    _, go_on = bench.faults.hold("load")
    handle = await start(bench, buyer, quantity, policy={"deadline_seconds": 0.3, **policy})

    async def asked_again() -> None:
        assert bench.faults.calls["load"] == 2

    await eventually(asked_again)
    go_on.set()
    result = await handle.result()
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "deadline")
    assert bench.faults.calls["release"] == 0
    await assert_as_it_was(bench)
