"""Feature flags: read when an operation starts; a hold that was made is given back all the same."""

import pytest

from models.messages import Outcome
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


async def test_with_all_off_the_cart_is_stored_and_nothing_else_happens(bench: Bench) -> None:
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
async def test_a_hold_is_given_back_though_the_flag_is_off_by_then(bench: Bench, what: str) -> None:
    buyer = bench.shop.buyer()
    await bench.add(buyer)
    await assert_held(bench, 2)
    assert (await perform(bench, buyer, what, **ALL_OFF)).outcome is Outcome.COMMITTED
    await assert_held(bench, 1 if what == "less" else 0)
    assert await quantity(buyer) == (1 if what == "less" else 0)


async def test_what_was_never_held_is_not_given_back_when_the_flag_is_on_by_then(
    bench: Bench,
) -> None:
    buyer, other = bench.shop.buyer(), bench.shop.buyer()
    await bench.add(other)
    await bench.add(buyer, reserve=False)
    assert (await perform(bench, buyer, "remove")).outcome is Outcome.COMMITTED
    assert await quantity(buyer) == 0
    await assert_held(bench, 2)  # the other's


async def test_an_add_that_was_not_held_is_joined_by_one_that_is(bench: Bench) -> None:
    buyer = bench.shop.buyer()
    await bench.add(buyer, reserve=False)
    await bench.add(buyer, 3)
    assert await quantity(buyer) == 5
    await assert_held(bench, 3)
    assert (await perform(bench, buyer, "remove")).outcome is Outcome.COMMITTED
    await assert_held(bench, 0)
