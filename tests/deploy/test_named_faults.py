"""Faults that stop no process: each fires an alert within a minute, and the commands of the runbook
repair it.

`test_prometheus` and tests/integration/test_outages.py have the outages of processes and servers.
"""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from pydantic import SecretStr

from models.cart import CartKey
from models.documents import bucket_of
from models.effects import ReleaseEffect
from settings import Settings
from tests.deploy.prometheus import Prometheus
from tests.deploy.runbook import repair
from tests.deploy.tools import needs
from tests.support.carts import add_until_committed, hold, operation_record
from tests.support.commands import cart
from tests.support.drift import repair_all_drift, trigger_hold_watch
from tests.support.events import other_services
from tests.support.shop import Shop
from tests.support.waiting import eventually

pytestmark = needs("prometheus")
SECONDS = 60


async def doctor_finding(part: str) -> dict[str, str]:
    """The finding of `cart doctor` about a part."""
    ran = await cart("doctor", "--json")
    [finding] = [one for one in ran.json["checks"] if one["part"] == part]
    return dict(finding)


async def test_a_leaked_hold_is_reported_and_repaired_by_reconcile(
    running_prometheus: Prometheus, shop: Shop
) -> None:
    await repair_all_drift()
    await shop.stock("headphones", 10)
    await add_until_committed(shop.buyer())

    async def no_drift() -> None:
        finding = await doctor_finding("holds")
        assert finding["state"] == "ok", finding["what"]

    await trigger_hold_watch(shop.world)
    await eventually(no_drift, timeout=SECONDS)
    await running_prometheus.is_over("CartDrift")

    began = time.monotonic()
    await hold(shop, "no-cart", "headphones", 3)

    async def named() -> None:
        finding = await doctor_finding("holds")
        leak = f"{shop.store_id}/no-cart, headphones: 3 held, 0 in the cart (a leaked hold"
        assert (finding["state"], leak in finding["what"]) == ("failed", True), finding
        assert f"`cart reconcile --store {shop.store_id}`" in finding["advice"]

    await eventually(named, timeout=SECONDS)
    await running_prometheus.fires("CartDrift")
    assert time.monotonic() - began < SECONDS

    cause = "a leaked hold, or a cart without its hold"
    await repair(shop.world.settings, "CartDrift", cause, STORE=shop.store_id)
    await trigger_hold_watch(shop.world)
    await eventually(no_drift, timeout=SECONDS)
    await running_prometheus.is_over("CartDrift")
    await shop.assert_consistent()
    ran = await cart("doctor")
    assert ran.code == 0, ran.output


async def test_a_paused_relay_is_reported_until_it_is_resumed(
    running_prometheus: Prometheus, shop: Shop
) -> None:
    user = f"user-{uuid4().hex[:12]}"
    relay = f"release/{bucket_of(CartKey(shop.store_id, user)) % shop.world.settings.relay_shards}"
    assert (await cart("ops", "pause", relay, "--reason", "maintenance")).code == 0
    effect = ReleaseEffect(
        id=str(uuid4()), product_id="lamp", quantity=1, saga_id="undone", reason="saga_aborted"
    )
    old = datetime.now(UTC) - timedelta(seconds=30)
    await operation_record(
        shop, user_id=user, state="aborted", pending=True, effects=[effect], at=old
    ).insert()
    await running_prometheus.fires("CartRelayBehind")
    assert [one for one in await shop.records() if one.pending]

    await repair(shop.world.settings, "CartRelayBehind", "a relay is paused", RELAY=relay)
    await running_prometheus.is_over("CartRelayBehind")
    assert not [one for one in await shop.records() if one.pending]


async def test_a_stuck_consumer_is_reported_until_the_cart_is_free(
    running_prometheus: Prometheus, shop: Shop, settings: Settings
) -> None:
    """Its event is about a cart whose workflow id another workflow has."""
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    await add_until_committed(buyer)
    cart_of_buyer = await buyer.cart()
    assert cart_of_buyer is not None

    async def cart_taken() -> None:
        await shop.world.temporal.start_workflow(
            "Unknown", id=buyer.workflow_id, task_queue=f"unused-{uuid4().hex}"
        )

    await eventually(cart_taken)
    async with other_services(settings) as others:
        await others.order(buyer, str(cart_of_buyer.id))
    await running_prometheus.fires("CartConsumerStuck")
    await running_prometheus.fires("CartEventWaits")
    owner = f"{shop.store_id}/{buyer.user_id}"

    async def named() -> None:
        finding = await doctor_finding("failing now")
        assert f"cart/{cart_of_buyer.id}" in finding["what"]
        assert f"`cart ops show {owner}`" in finding["advice"]

    await eventually(named, timeout=SECONDS)

    cause = "another workflow has the id of the cart"
    names = {"STORE": shop.store_id, "USER": buyer.user_id}
    await repair(settings, "CartEventWaits", cause, **names)
    await running_prometheus.is_over("CartConsumerStuck")
    await running_prometheus.is_over("CartEventWaits")

    async def done() -> None:
        assert await shop.units("headphones") == (9, 0, 1)

    await eventually(done, timeout=SECONDS)


async def test_tokens_with_a_wrong_secret_are_reported(
    running_prometheus: Prometheus, shop: Shop
) -> None:
    await shop.stock("headphones", 10)
    wrong = shop.world.settings.model_copy(update={"jwt_secret": SecretStr("another" * 8)})
    stranger = Shop(replace(shop.world, settings=wrong), shop.store_id).buyer()

    async def reported() -> None:
        answers = await asyncio.gather(*(stranger.get() for _ in range(10)))
        assert {answer.status_code for answer in answers} == {401}
        assert "CartTokensRefused" in await running_prometheus.alerts()

    await eventually(reported, timeout=SECONDS, interval=0.5)
    await add_until_committed(shop.buyer())
    await running_prometheus.is_over("CartTokensRefused")
