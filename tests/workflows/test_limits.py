"""Limits of a cart: a refused operation stores nothing and holds nothing."""

from decimal import Decimal
from typing import Any

import pytest

from models.operations import AddItem, UpdateQuantity
from models.outcomes import OperationResult, Outcome
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from workflows.add_item import AddItemWorkflow
from workflows.update_quantity import UpdateQuantityWorkflow

PRICE = Decimal("79.99")


def fields(bench: Bench, buyer: Buyer, asked: str, limits: dict[str, int]) -> dict[str, Any]:
    common = bench.common(buyer, asked)
    return common | {"policy": common["policy"].model_copy(update=limits)}


async def add(
    bench: Bench, buyer: Buyer, product: str, quantity: int, **limits: int
) -> OperationResult:
    request = AddItem(
        **fields(bench, buyer, f"add {quantity}", limits),
        product_id=product,
        product_title="Wireless Headphones",
        product_price=PRICE,
        quantity=quantity,
    )
    return await (await bench.run(AddItemWorkflow.run, buyer, request)).result()


async def update(bench: Bench, buyer: Buyer, quantity: int, **limits: int) -> OperationResult:
    cart = await buyer.cart()
    assert cart is not None
    request = UpdateQuantity(
        **fields(bench, buyer, f"set {quantity}", limits),
        cart_id=str(cart.id),
        product_id="headphones",
        quantity=quantity,
    )
    return await (await bench.run(UpdateQuantityWorkflow.run, buyer, request)).result()


LIMITS = [
    pytest.param({"max_quantity": 5}, "quantity_limit", id="units of a product"),
    pytest.param({"max_units": 8}, "unit_limit", id="units of all"),
    pytest.param({"max_value": 640}, "value_limit", id="worth"),
]


@pytest.mark.parametrize(("limits", "code"), LIMITS)
async def test_a_cart_grows_up_to_its_limit_and_not_beyond(
    bench: Bench, limits: dict[str, int], code: str
) -> None:
    await bench.shop.stock("cable", 10)
    buyer = bench.shop.buyer()
    await add(bench, buyer, "cable", 3)
    # 3 cables and 5 headphones are 8 units, worth 639.92.
    assert (await add(bench, buyer, "headphones", 4, **limits)).outcome is Outcome.COMMITTED
    assert (await update(bench, buyer, 5, **limits)).outcome is Outcome.COMMITTED
    for refused in (
        await add(bench, buyer, "headphones", 1, **limits),
        await update(bench, buyer, 6, **limits),
    ):
        assert refused.outcome is Outcome.REJECTED
        assert refused.refusal is not None
        assert refused.refusal.code == code
    assert await bench.shop.units("headphones") == (5, 5, 0)
    await bench.shop.assert_consistent()


@pytest.mark.parametrize(("limits", "code"), LIMITS)
async def test_a_limit_takes_precedence_over_insufficient_stock(
    bench: Bench, limits: dict[str, int], code: str
) -> None:
    buyer = bench.shop.buyer()
    await add(bench, buyer, "headphones", 5)
    refused = await add(bench, buyer, "headphones", 11, **limits)
    assert refused.refusal is not None
    assert refused.refusal.code == code
    assert await bench.shop.units("headphones") == (5, 5, 0)


@pytest.mark.parametrize("limits", [param.values[0] for param in LIMITS])
async def test_a_cart_over_a_limit_may_still_be_reduced(
    bench: Bench, limits: dict[str, int]
) -> None:
    buyer = bench.shop.buyer()
    await add(bench, buyer, "headphones", 10)
    assert (await update(bench, buyer, 9, **limits)).outcome is Outcome.COMMITTED
    assert await bench.shop.units("headphones") == (1, 9, 0)


async def test_an_item_that_makes_a_cart_too_large_is_refused_and_its_units_are_released(
    bench: Bench,
) -> None:
    await bench.shop.stock("headphones", 10)
    await bench.shop.stock("cable", 10)
    buyer = bench.shop.buyer()
    assert (await add(bench, buyer, "headphones", 1)).outcome is Outcome.COMMITTED
    before = await buyer.cart()
    refused = await add(bench, buyer, "cable", 1, max_bytes=500)
    assert refused.refusal is not None
    assert refused.refusal.code == "size_limit"
    assert await buyer.cart() == before
    await eventually(lambda: units_are(bench, "cable", (10, 0, 0)))


async def units_are(bench: Bench, product: str, units: tuple[int, int, int]) -> None:
    assert await bench.shop.units(product) == units
