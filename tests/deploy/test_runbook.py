"""Planted faults are gone after the commands of the runbook, and nothing else.

`runbook` has the table of the faults: the test of each, or why it has none. Faults with outages are
in `test_partial_faults`, those of the service itself in `test_named_faults`.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from models.cart import CartKey
from models.documents import OperationRecord, bucket_of
from models.effects import AnyEffect, EventEffect, ReleaseEffect
from models.events import CART_CLEARED, ORDER_COMPLETED
from settings import Settings
from tests.deploy.prometheus import Prometheus
from tests.deploy.queries import alerts
from tests.deploy.runbook import OUTSIDE, TRIED, WITHOUT_COMMANDS, blocks, repair
from tests.deploy.tools import ROOT, needs
from tests.support.carts import add_until_committed, hold, operation_record
from tests.support.commands import cart
from tests.support.events import OtherServices, other_services
from tests.support.relays import TOO_LARGE
from tests.support.shop import Shop
from tests.support.waiting import eventually

SECONDS = 60


def test_each_block_of_commands_is_tried_or_has_a_reason_why_not() -> None:
    assert blocks().keys() == TRIED.keys() | OUTSIDE.keys()
    assert not TRIED.keys() & OUTSIDE.keys()


def test_each_alert_has_commands_or_a_reason_why_not() -> None:
    with_commands = {alert for alert, _ in blocks()}
    assert with_commands.isdisjoint(WITHOUT_COMMANDS)
    assert with_commands | WITHOUT_COMMANDS.keys() == {rule["alert"] for rule in alerts()}


def test_the_tests_in_the_table_exist() -> None:
    text = "".join(file.read_text() for file in (ROOT / "tests/deploy").glob("test_*.py"))
    assert [test for test in TRIED.values() if f"async def {test}(" not in text] == []


def relay_of(shop: Shop, kind: str, user: str) -> str:
    shards = shop.world.settings.relay_shards
    return f"{kind}/{bucket_of(CartKey(shop.store_id, user)) % shards}"


async def plant(shop: Shop, user: str, effect: AnyEffect) -> OperationRecord:
    """The record of an undone saga with an effect that has been pending for half a minute."""
    record = operation_record(
        shop,
        user_id=user,
        state="aborted",
        pending=True,
        effects=[effect],
        at=datetime.now(UTC) - timedelta(seconds=30),
    )
    await record.insert()
    return record


def a_release() -> ReleaseEffect:
    return ReleaseEffect(
        id=str(uuid4()), product_id="lamp", quantity=1, saga_id="undone", reason="saga_aborted"
    )


async def nothing_pending(shop: Shop) -> None:
    assert [record.id for record in await shop.records() if record.pending] == []


async def tried(record: OperationRecord, kind: str, times: int) -> None:
    found = await OperationRecord.get(record.id)
    assert found is not None
    assert {str(one): due.attempts for one, due in found.due.items()}[kind] >= times


@needs("prometheus")
@pytest.mark.parametrize("kind", ["relay", "store"])
async def test_a_forgotten_pause_is_reported_until_it_ends(
    running_prometheus: Prometheus, shop: Shop, settings: Settings, kind: str
) -> None:
    relay = relay_of(shop, "event", "user")
    paused = (
        ("pause", relay, "--reason", "maintenance")
        if kind == "relay"
        else ("hold-intake", "--store", shop.store_id, "--reason", "stocktaking")
    )
    ran = await cart("ops", *paused)
    assert ran.code == 0, ran.output
    await running_prometheus.fires("CartPauseForgotten")
    stuck = (await cart("ops", "stuck", "--json")).output
    assert (relay if kind == "relay" else shop.store_id) in stuck

    names = {"RELAY": relay, "STORE": shop.store_id}
    await repair(settings, "CartPauseForgotten", f"a {kind}", **names)
    await running_prometheus.is_over("CartPauseForgotten")
    ran = await cart("ops", "stuck", "--json")
    assert ran.code == 0, ran.output


async def test_an_effect_that_is_refused_for_ever_is_skipped(
    shop: Shop, settings: Settings
) -> None:
    event = EventEffect(
        id=str(uuid4()),
        topic=CART_CLEARED,
        key=uuid4().hex,
        value="x" * TOO_LARGE,
        time=datetime.now(UTC),
    )
    record = await plant(shop, "user", event)
    await eventually(lambda: tried(record, "event", 1), timeout=SECONDS)
    pending = (await cart("ops", "pending", "--store", shop.store_id, "--json")).json["effects"]
    [effect] = [one["effectId"] for one in pending]

    await repair(settings, "CartRelayBehind", "one effect is refused for ever", EFFECT=effect)
    await nothing_pending(shop)


async def test_a_release_is_tried_at_once_when_its_product_works_again(
    shop: Shop, settings: Settings
) -> None:
    await shop.fault("release", "error", times=1000, productId="lamp")
    record = await plant(shop, "user", a_release())
    await eventually(lambda: tried(record, "release", 5), timeout=SECONDS)
    (await shop.world.inventory.delete("/faults")).raise_for_status()

    cause = "the cause is corrected, or no relay is at work"
    await repair(settings, "CartRelayBehind", cause, RELAY=relay_of(shop, "release", "user"))
    await eventually(lambda: nothing_pending(shop), timeout=10)  # its next try: after 12 s


async def test_drift_of_all_stores_is_repaired(shop: Shop, settings: Settings) -> None:
    other = Shop(shop.world)
    for one in (shop, other):
        await one.stock("lamp", 5)
        await add_until_committed(one.buyer(), "lamp")
        await hold(one, "no-cart", "lamp", 2)
    await repair(settings, "CartDriftRepaired", "there is more")

    async def released() -> None:
        assert [await one.units("lamp") for one in (shop, other)] == [(4, 1, 0)] * 2

    await eventually(released, timeout=SECONDS)


async def test_what_a_run_that_was_terminated_left_behind_is_repaired(
    shop: Shop, settings: Settings
) -> None:
    await shop.stock("lamp", 5)
    buyer = shop.buyer()
    await shop.fault("reserve", "commit_then_timeout", seconds=4.0)
    adding = asyncio.create_task(buyer.add("lamp"))

    async def reserved() -> None:
        assert await shop.units("lamp") == (4, 1, 0)

    await eventually(reserved)
    handle = shop.world.temporal.get_workflow_handle(buyer.workflow_id)
    run = (await handle.describe()).run_id
    await handle.terminate("for a test")
    await adding

    async def listed(*, is_listed: bool) -> None:
        problems = (await cart("ops", "stuck", "--json")).output
        assert (run in problems) is is_listed

    await eventually(lambda: listed(is_listed=True), timeout=SECONDS)
    cause = "it is reported: repair what it left behind"
    await repair(settings, "CartSagaFailed", cause, STORE=shop.store_id, RUN=run)
    await eventually(lambda: listed(is_listed=False), timeout=SECONDS)

    async def released() -> None:
        assert await shop.units("lamp") == (5, 0, 0)

    await eventually(released, timeout=SECONDS)
    await shop.assert_consistent()


async def letter(others: OtherServices, key: str) -> str:
    """The id of the dead letter with this key."""

    async def parked() -> str:
        [found] = await others.letters(key)
        return found.id

    return await eventually(parked, timeout=SECONDS)


async def left(key: str) -> int:
    count: Any = (await cart("dlq", "list", "--key", key, "--json")).json["count"]
    return int(count)


async def test_an_order_is_booked_once_there_is_stock(shop: Shop, settings: Settings) -> None:
    await shop.stock("lamp", 3)
    buyer = shop.buyer()
    await add_until_committed(buyer, "lamp", quantity=3)
    bought = await buyer.cart()
    assert bought is not None
    await buyer.clear()
    await add_until_committed(shop.buyer(), "lamp", quantity=3)
    async with other_services(settings) as others:
        await others.order(buyer, str(bought.id), items=[{"productId": "lamp", "quantity": 3}])
        identity = await letter(others, str(bought.id))
    await shop.stock("lamp", 3)  # beside those that are held

    await repair(settings, "CartOrderShort", "there is stock again", ID=identity)

    async def booked() -> None:
        assert (await shop.units("lamp"))[2] == 3

    await eventually(booked, timeout=SECONDS)
    assert await left(str(bought.id)) == 0


async def test_an_unusable_event_is_dropped(shop: Shop, settings: Settings) -> None:
    key = uuid4().hex
    async with other_services(settings) as others:
        await others.send(ORDER_COMPLETED, b"{", key=key)
        identity = await letter(others, key)
    await repair(settings, "CartEventsParked", "it is not worth it", ID=identity)
    assert await left(key) == 0
