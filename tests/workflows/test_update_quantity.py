"""Updates of a quantity: what is reserved, and what is released after a failure."""

from typing import Any

import pytest

from models.errors import DependencyTimeout, DependencyUnavailable
from models.operations import UpdateQuantity
from models.outcomes import Outcome
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench, SagaHandle
from workflows.update_quantity import UpdateQuantityWorkflow

OTHER_CART = "0" * 24
UNCHANGED = (8, 2, 0)


async def start(
    bench: Bench,
    buyer: Buyer,
    quantity: int = 5,
    *,
    policy: dict[str, Any] | None = None,
    **more: Any,
) -> SagaHandle:
    """Starts an update of the buyer's two headphones; `more` are other fields of its input."""
    cart = await buyer.cart()
    assert cart is not None
    fields: dict[str, Any] = bench.common(buyer, f"set {quantity}", **(policy or {}))
    fields |= {"cart_id": str(cart.id), "product_id": "headphones", "quantity": quantity}
    update = UpdateQuantity(**fields | more)
    return await bench.run(UpdateQuantityWorkflow.run, buyer, update)


async def assert_unchanged(bench: Bench) -> None:
    """Only the two headphones are held, and no effect is pending."""

    async def unchanged() -> None:
        assert await bench.shop.units("headphones") == UNCHANGED
        assert not any(record.pending for record in await bench.shop.records())

    await eventually(unchanged)
    await bench.shop.assert_consistent()


@pytest.fixture
async def buyer(bench: Bench) -> Buyer:
    """A buyer with two headphones in the cart."""
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
async def test_an_update_that_the_cart_does_not_allow_reserves_nothing(
    bench: Bench, buyer: Buyer, refused: dict[str, Any], code: str
) -> None:
    result = await (await start(bench, buyer, **refused)).result()
    assert result.outcome is Outcome.REJECTED
    assert result.refusal is not None
    assert result.refusal.code == code
    assert bench.faults.calls["reserve"] == 0
    await assert_unchanged(bench)


async def test_a_repeated_key_reserves_nothing_again(bench: Bench, buyer: Buyer) -> None:
    once = {"key": "the same"}
    first = await (await start(bench, buyer, policy=once)).result()
    again = await (await start(bench, buyer, policy=once)).result()
    assert (first.outcome, again.outcome) == (Outcome.COMMITTED, Outcome.REPLAYED)
    assert bench.faults.calls["reserve"] == 1


async def test_an_update_that_is_refused_for_stock_holds_nothing(
    bench: Bench, buyer: Buyer
) -> None:
    result = await (await start(bench, buyer, 11)).result()
    assert result.refusal is not None
    assert (result.refusal.code, result.refusal.available) == ("insufficient_stock", 8)
    assert bench.faults.calls["settle"] == 1  # another try must not commit
    await assert_unchanged(bench)


async def test_a_refusal_for_stock_releases_an_earlier_reserve_call_that_may_still_arrive(
    bench: Bench, buyer: Buyer
) -> None:
    """The inventory refuses a reserve call that arrives after its release."""
    bench.faults.fail("reserve", "after", DependencyUnavailable("inventory"))
    result = await (await start(bench, buyer, 11)).result()
    assert result.refusal is not None
    assert result.refusal.code == "insufficient_stock"
    assert (bench.faults.calls["reserve"], bench.faults.calls["release"]) == (2, 1)
    await assert_unchanged(bench)


async def test_a_reserve_that_timed_out_is_not_retried(bench: Bench, buyer: Buyer) -> None:
    bench.faults.fail("reserve", "after", DependencyTimeout("inventory"))
    result = await (await start(bench, buyer)).result()
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "inventory_unavailable")
    assert bench.faults.calls["reserve"] == 1
    await assert_unchanged(bench)


async def test_an_inventory_that_keeps_failing_holds_nothing_in_the_end(
    bench: Bench, buyer: Buyer
) -> None:
    bench.faults.fail("reserve", "after", DependencyUnavailable("inventory"), times=3)
    result = await (await start(bench, buyer)).result()
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "inventory_unavailable")
    assert bench.faults.calls["reserve"] == 3
    await assert_unchanged(bench)


async def test_a_deadline_during_the_reserve_gives_back_what_it_has_reserved(
    bench: Bench, buyer: Buyer
) -> None:
    await bench.shop.fault("reserve", "commit_then_timeout", seconds=3)
    result = await (await start(bench, buyer, policy={"deadline_seconds": 0.8})).result()
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "deadline")
    assert (bench.faults.calls["load"], bench.faults.calls["release"]) == (1, 1)
    await assert_unchanged(bench)


@pytest.mark.parametrize(
    ("quantity", "policy"),
    [
        pytest.param(1, {}, id="fewer units"),
        pytest.param(5, {"reserve": False}, id="a shop that reserves nothing"),
    ],
)
async def test_a_deadline_during_the_load_gives_nothing_back(
    bench: Bench, buyer: Buyer, quantity: int, policy: dict[str, Any]
) -> None:
    bench.faults.hold("load")
    handle = await start(bench, buyer, quantity, policy={"deadline_seconds": 0.3, **policy})
    result = await handle.result()
    assert (result.outcome, result.reason) == (Outcome.ABORTED, "deadline")
    assert (bench.faults.calls["settle"], bench.faults.calls["release"]) == (0, 0)
    await assert_unchanged(bench)
