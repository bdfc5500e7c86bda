"""Live carts on the whole stack: two tabs agree, whatever changes the cart, also around outages."""

import asyncio
import statistics
import time
from contextlib import AbstractAsyncContextManager

import pytest

from api.live import HEARTBEAT_SECONDS
from dev.stack.stack import Stack
from tests.support.carts import expire
from tests.support.live_carts import LiveCart, ServerEvent, live_cart
from tests.support.outages import down
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually
from workflows import ids

AT_ONCE_SECONDS = HEARTBEAT_SECONDS / 3
"""Less than until the next comparison of versions; on a busy machine a hint takes its time."""


def tab(buyer: Buyer, **headers: str) -> AbstractAsyncContextManager[LiveCart]:
    return live_cart(buyer.shop.world.http, buyer.path, buyer.headers | headers)


async def next_event(live: LiveCart, within: float = 20) -> ServerEvent:
    found = await live.event(within)
    assert found is not None
    return found


async def test_two_tabs_agree_within_a_second(shop: Shop) -> None:
    await shop.stock("lamp", 10)
    buyer, admin = shop.buyer(), shop.buyer(role="admin", store=shop.store_id)
    waits: list[float] = []
    async with tab(buyer) as one, tab(buyer) as other, tab(shop.buyer()) as stranger:

        async def next_of_both() -> list[ServerEvent]:
            began = time.monotonic()
            seen = [await next_event(live, AT_ONCE_SECONDS) for live in (one, other)]
            waits.append(time.monotonic() - began)
            return seen

        for live in (one, other, stranger):
            assert (await next_event(live)).name == "cart_deleted"
        added = await buyer.add("lamp", 2)
        for seen in await next_of_both():
            assert (seen.name, seen.data) == ("cart", added.json())
            assert f'"{seen.id}"' == added.headers["ETag"]
        cart_id = added.json()["_id"]
        await admin.update(cart_id, "lamp", 3)
        assert [seen.data["quantity"] for seen in await next_of_both()] == [3, 3]
        await buyer.clear()
        assert [seen.name for seen in await next_of_both()] == ["cart_deleted"] * 2
        with pytest.raises(TimeoutError):
            await stranger.event(within=0.2)
    assert statistics.median(waits) < 1  # a busy machine may delay one of them


async def test_a_client_that_reconnects_gets_only_what_it_lacks(shop: Shop) -> None:
    await shop.stock("lamp", 10)
    buyer = shop.buyer()
    await buyer.add("lamp")
    async with tab(buyer) as live:
        known = await next_event(live)
    async with tab(buyer, **{"Last-Event-ID": known.id or ""}) as live:
        await buyer.add("lamp")
        assert (await next_event(live)).data["quantity"] == 2
    await buyer.add("lamp")
    async with tab(buyer, **{"Last-Event-ID": known.id or ""}) as live:
        assert (await next_event(live)).data["quantity"] == 3


async def test_what_a_schedule_changes_is_seen_too(shop: Shop) -> None:
    await shop.stock("lamp", 10)
    buyer = shop.buyer()
    await buyer.add("lamp")
    async with tab(buyer) as live:
        await next_event(live)
        await expire(shop, buyer.user_id)
        await shop.world.temporal.get_schedule_handle(ids.EXPIRY_SCHEDULE).trigger()
        assert (await next_event(live, 30)).name == "cart_deleted"


async def test_without_redis_clients_poll_until_changes_arrive_again(
    shop: Shop, stack: Stack
) -> None:
    await shop.stock("lamp", 10)
    buyer = shop.buyer()
    await buyer.add("lamp")
    async with tab(buyer) as live:
        await next_event(live)
        async with down(stack, "redis"):
            away = await next_event(live)
            assert (away.name, away.data["code"]) == ("unavailable", "redis_unavailable")
            assert (await buyer.add("lamp")).status_code == 201
        seen = [await next_event(live, 30), await next_event(live, 30)]
        assert {one.name for one in seen} == {"available", "cart"}
        [cart] = [one for one in seen if one.name == "cart"]
        assert cart.data["quantity"] == 2
        await buyer.add("lamp")
        assert (await next_event(live, AT_ONCE_SECONDS)).data["quantity"] == 3


async def test_a_deployment_does_not_wait_for_open_streams(shop: Shop, stack: Stack) -> None:
    buyer = shop.buyer()
    async with tab(buyer) as live:
        await next_event(live)
        process = stack.process("api")
        process.restart = False
        began = time.monotonic()
        ending = asyncio.create_task(process.terminate())
        assert await live.ends()
        await ending
        assert time.monotonic() - began < 5
    await stack.start_again("api")
    process.restart = True

    async def reconnected() -> None:
        async with tab(buyer) as live:
            assert (await next_event(live)).name == "cart_deleted"

    await eventually(reconnected, timeout=60)
