"""The availability of lines in a read, and its cost for the inventory and MongoDB."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from adapters.inventory import Stock
from api import availability
from models.cart_line import CartLine
from models.outcomes import Outcome
from tests.fakes.api import STORE, URL, USER, FakeApi, cart_of, result_of, settings_for_tests
from tests.support.waiting import eventually

CART_URL = "/api/v1/cart/507f1f77bcf86cd799439013"


def line(product: str, quantity: int = 2, **more: Any) -> CartLine:
    return CartLine(
        product_id=product,
        product_title="Wireless Headphones",
        product_price=Decimal("79.90"),
        product_quantity=quantity,
        reserved_at=datetime(2026, 1, 27, 10, 30, tzinfo=UTC),
        **more,
    )


def api_with(*lines: CartLine, **settings: Any) -> FakeApi:
    api = FakeApi(settings_for_tests(**settings))
    api.mongo.carts[STORE, USER] = cart_of(
        cart_items=list(lines), quantity=2, total_price=Decimal("159.80")
    )
    return api


def shown(answer: httpx.Response) -> dict[str, tuple[str, str | None]]:
    """Product -> availability status and reason of its line."""
    assert answer.status_code == 200
    return {
        line["productId"]: (line["availabilityStatus"], line["unavailabilityReason"])
        for line in answer.json()["cartItems"]
    }


AVAILABLE, OUT = ("available", None), ("out_of_stock", "Out of stock")


@pytest.mark.parametrize("url", [URL, CART_URL])
async def test_a_line_shows_whether_its_units_are_available(url: str) -> None:
    api = api_with(line("free"), line("held"), line("short"), line("none"), line("unknown"))
    api.stock.inventory = {
        "free": Stock(available=5, held=0),
        "held": Stock(available=0, held=2),  # the cart's own units among them
        "short": Stock(available=0, held=1),
        "none": Stock(available=0, held=0),
    }
    answer = await api.get(url)
    assert shown(answer) == {
        "free": AVAILABLE,
        "held": AVAILABLE,
        "short": OUT,
        "none": OUT,
        "unknown": AVAILABLE,  # the default
    }
    assert '"totalPrice":159.80,' in answer.text


async def test_a_marked_line_stays_marked_without_a_check_of_its_stock() -> None:
    marked = line("gone", availability_status="out_of_stock", unavailability_reason="Recalled")
    api = api_with(marked)
    api.stock.inventory = {"gone": Stock(available=5, held=0)}
    assert shown(await api.get()) == {"gone": ("out_of_stock", "Recalled")}
    assert (api.stock.reads, api.stock.checks) == (0, [])


async def test_a_large_cart_is_one_cache_read_and_one_check_for_each_missing_product() -> None:
    products = [f"product-{number}" for number in range(100)]
    api = api_with(*(line(product) for product in products))
    api.stock.inventory = dict.fromkeys(products, Stock(available=5, held=0))
    await api.get()
    assert (api.stock.reads, sorted(api.stock.checks)) == (1, sorted(products))
    del api.stock.cached["product-7"]
    await api.get()
    assert api.stock.reads == 2
    assert api.stock.checks[100:] == ["product-7"]


async def test_concurrent_reads_share_the_check_of_a_product_and_the_load_of_a_cart() -> None:
    api = api_with(line("p"))
    api.stock.inventory = {"p": Stock(available=5, held=0)}
    api.mongo.gate.clear()
    api.stock.gate.clear()
    reading = [asyncio.create_task(api.get()) for _ in range(20)]

    async def all_wait_for_the_cart() -> None:
        assert api.cache.gets == 20

    await eventually(all_wait_for_the_cart)
    reading.pop(0).cancel()
    api.mongo.gate.set()

    async def all_wait_for_the_inventory() -> None:
        assert api.stock.reads == 19

    await eventually(all_wait_for_the_inventory)
    api.stock.gate.set()
    assert [shown(answer) for answer in await asyncio.gather(*reading)] == [{"p": AVAILABLE}] * 19
    assert (api.mongo.loads, api.stock.checks) == (1, ["p"])


async def test_a_read_after_a_clear_does_not_share_an_earlier_load() -> None:
    api = api_with(line("p"))
    api.mongo.gate.clear()
    early = asyncio.create_task(api.get())

    async def has_begun() -> None:
        assert api.mongo.loads == 1

    await eventually(has_begun)
    del api.mongo.carts[STORE, USER]
    assert (await api.get()).status_code == 404
    api.mongo.gate.set()
    assert (await early).status_code == 200


async def test_who_has_changed_the_cart_shares_no_read_that_began_before() -> None:
    api = api_with(line("p"))
    api.mongo.gate.clear()
    early = asyncio.create_task(api.get())

    async def both_load(loads: int) -> None:
        assert api.mongo.loads == loads

    await eventually(lambda: both_load(1))
    api.mongo.carts[STORE, USER] = cart_of(version=4, cart_items=[line("p"), line("q")])
    later = asyncio.create_task(api.get())
    await eventually(lambda: both_load(2))
    api.mongo.gate.set()
    assert (await early).json()["version"] == 3
    assert shown(await later) == {"p": AVAILABLE, "q": AVAILABLE}
    assert (await api.get()).json()["version"] == 4  # whichever of the two was cached last


async def test_a_slow_inventory_is_not_waited_for_and_its_answer_is_the_next_readers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(availability, "WAIT_SECONDS", 0.01)
    api = api_with(line("p"))
    api.stock.inventory = {"p": Stock(available=0, held=0)}
    api.stock.gate.clear()
    assert shown(await api.get()) == {"p": AVAILABLE}
    api.stock.gate.set()
    await api.state.availability.close()
    assert shown(await api.get()) == {"p": OUT}
    assert api.stock.checks == ["p"]


async def test_the_number_of_concurrent_checks_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(availability, "MAX_CHECKS", 3)
    api = api_with(*(line(f"product-{number}") for number in range(10)))
    await api.get()
    assert len(api.stock.checks) == 3


async def test_a_shown_difference_has_its_own_etag_which_if_match_accepts() -> None:
    api = api_with(line("p"), line("q"))
    api.stock.cached = {"p": Stock(9, 0), "q": Stock(9, 0)}
    before = (await api.get()).headers["ETag"]
    assert before == '"3-507f1f77bcf86cd799439013"'
    api.stock.cached["p"] = Stock(0, 0)
    seen = {before}
    for gone in ("p", "q"):
        api.stock.cached[gone] = Stock(0, 0)
        answer = await api.client.get(URL, headers=api.token() | {"If-None-Match": before})
        assert answer.status_code == 200
        tag = answer.headers["ETag"]
        assert tag not in seen
        seen.add(tag)
        again = await api.client.get(URL, headers=api.token() | {"If-None-Match": tag})
        assert (again.status_code, again.headers["ETag"]) == (304, tag)
    api.gateway.outcome = result_of(Outcome.UNCHANGED, cart_id="507f1f77bcf86cd799439013")
    await api.client.put(
        CART_URL,
        json={"productId": "p", "quantity": 2},
        headers=api.token() | {"If-Match": f'{tag}, "other"'},
    )
    [started] = api.gateway.started
    assert started.if_match == ("3-507f1f77bcf86cd799439013", "other")


async def test_availability_is_shown_also_with_invalidation_off() -> None:
    api = api_with(line("p"), enable_cache_invalidation=False)
    api.stock.inventory = {"p": Stock(0, 0)}
    assert shown(await api.get()) == {"p": OUT}
    assert shown(await api.get(CART_URL)) == {"p": OUT}
