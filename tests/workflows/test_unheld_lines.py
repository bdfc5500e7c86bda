"""Operations on a line whose units are in the cart and are not held: what they reserve and undo."""

import pytest

from models.errors import DependencyUnavailable
from models.outcomes import Outcome, RefusalCode
from tests.support.call_faults import SHORT_DEADLINE
from tests.support.carts import forget_holds
from tests.support.shop import Buyer
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from tests.workflows.test_other_operations import perform


@pytest.fixture
async def buyer(bench: Bench) -> Buyer:
    """A buyer with two headphones in the cart, none of which is held."""
    buyer = bench.shop.buyer()
    assert (await bench.add(buyer)).outcome is Outcome.COMMITTED
    await forget_holds(bench.shop)
    assert await bench.shop.units("headphones") == (10, 0, 0)
    return buyer


async def line_of(buyer: Buyer) -> tuple[int, int]:
    """The units of the line, and those of them that are held."""
    cart = await buyer.cart()
    line = cart and cart.line("headphones")
    return (line.product_quantity, line.held) if line else (0, 0)


async def assert_stored(bench: Bench, buyer: Buyer, *, units: int, held: int) -> None:
    async def stored() -> None:
        assert await bench.shop.units("headphones") == (10 - held, held, 0)
        await bench.shop.assert_consistent()
        assert not any(record.pending for record in await bench.shop.records())

    assert await line_of(buyer) == (units, held)
    await eventually(stored)


async def test_an_add_reserves_the_whole_line(bench: Bench, buyer: Buyer) -> None:
    assert (await bench.add(buyer, 3)).outcome is Outcome.COMMITTED
    await assert_stored(bench, buyer, units=5, held=5)


@pytest.mark.parametrize(("what", "units"), [("more", 5), ("less", 1), ("remove", 0)])
async def test_afterwards_all_units_of_the_line_are_held(
    bench: Bench, buyer: Buyer, what: str, units: int
) -> None:
    assert (await perform(bench, buyer, what)).outcome is Outcome.COMMITTED
    await assert_stored(bench, buyer, units=units, held=units)


@pytest.mark.parametrize("free", [0, 4])
async def test_an_add_that_finds_too_few_units_holds_none(
    bench: Bench, buyer: Buyer, free: int
) -> None:
    """The number of available units is right, whichever of the two reservations was refused."""
    await bench.shop.stock("headphones", free)
    result = await bench.add(buyer, 3)
    assert result.refusal is not None
    assert (result.refusal.code, result.refusal.available) == (
        RefusalCode.INSUFFICIENT_STOCK,
        free,
    )

    async def undone() -> None:
        assert await bench.shop.units("headphones") == (free, 0, 0)

    await eventually(undone)
    assert await line_of(buyer) == (2, 0)


async def test_an_add_that_fails_after_both_reservations_undoes_both(
    bench: Bench, buyer: Buyer
) -> None:
    first = bench.faults.calls["persist"] + 1  # it finds that the line is not held
    for call in range(first + 1, first + 100):
        bench.faults.fail_at("persist", call, "before", DependencyUnavailable("mongodb"))
    result = await bench.add(buyer, 3, deadline_seconds=SHORT_DEADLINE)
    assert result.outcome is Outcome.ABORTED
    assert bench.faults.calls["reserve"] == 3
    await assert_stored(bench, buyer, units=2, held=0)
