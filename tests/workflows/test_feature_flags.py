"""Feature flags: read when an operation starts; a hold is released whatever they are by then."""

import pytest

from models.outcomes import Outcome
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from tests.workflows.test_other_operations import perform

ALL_OFF = {"reserve": False, "publish": False, "cache": False}


async def assert_held(bench: Bench, units: int) -> None:
    async def held() -> None:
        assert await bench.shop.units("headphones") == (10 - units, units, 0)

    await eventually(held)


async def quantity(buyer: Buyer) -> int:
    cart = await buyer.cart()
    return cart.quantity if cart else 0


async def test_with_all_flags_off_only_the_cart_is_stored(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    assert (await bench.add(buyer, **ALL_OFF)).outcome is Outcome.COMMITTED
    assert await quantity(buyer) == 2
    assert bench.faults.calls["reserve"] == bench.faults.calls["publish"] == 0
    assert bench.faults.calls["put"] == 0
    [record] = await bench.shop.records()
    assert (record.state, record.effects, record.pending) == ("committed", [], False)
    assert await bench.shop.events() == []
    await assert_held(bench, 0)


@pytest.mark.parametrize("what", ["less", "remove", "clear"])
async def test_a_hold_is_released_also_when_reservations_are_off_by_then(
    bench: Bench, what: str
) -> None:
    buyer = bench.shop.buyer()
    await bench.add(buyer)
    await assert_held(bench, 2)
    assert (await perform(bench, buyer, what, **ALL_OFF)).outcome is Outcome.COMMITTED
    await assert_held(bench, 1 if what == "less" else 0)
    assert await quantity(buyer) == (1 if what == "less" else 0)


async def test_units_that_were_never_held_are_not_released_when_reservations_are_on_by_then(
    bench: Bench,
) -> None:
    buyer, other = bench.shop.buyer(), bench.shop.buyer()
    await bench.add(other)
    await bench.add(buyer, reserve=False)
    assert (await perform(bench, buyer, "remove")).outcome is Outcome.COMMITTED
    assert await quantity(buyer) == 0
    await assert_held(bench, 2)  # the other buyer's


async def test_a_line_with_held_and_other_units_releases_only_the_held_ones(bench: Bench) -> None:
    buyer, other = bench.shop.buyer(), bench.shop.buyer()
    await bench.add(other)
    await bench.add(buyer, 3)
    await bench.add(buyer, reserve=False)
    assert await quantity(buyer) == 5
    await assert_held(bench, 5)
    assert (await perform(bench, buyer, "remove")).outcome is Outcome.COMMITTED
    await assert_held(bench, 2)  # the other buyer's


async def test_an_add_reserves_also_what_the_line_had_while_reservations_were_off(
    bench: Bench,
) -> None:
    buyer = bench.shop.buyer()
    await bench.add(buyer, reserve=False)
    await bench.add(buyer, 3)
    assert await quantity(buyer) == 5
    await assert_held(bench, 5)
