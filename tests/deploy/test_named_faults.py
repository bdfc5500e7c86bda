"""Faults that break no process: each is told by an alert of a real Prometheus within a minute, and
put right by the runbook's commands.

Those of processes and servers stand in `test_prometheus` and tests/integration/test_outages.
"""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from models.messages import ReleaseEffect
from models.operation import shard_key
from settings import Settings
from tests.deploy.prometheus import Prometheus
from tests.deploy.tools import needs
from tests.support.carts import hold, insist, record
from tests.support.commands import cart
from tests.support.drift import look_now, nothing_drifts
from tests.support.events import other_services
from tests.support.shop import Shop
from tests.support.waiting import eventually

pytestmark = needs("prometheus")
SECONDS = 60


async def told_by_the_doctor(part: str) -> dict[str, str]:
    """What it says of a part."""
    ran = await cart("doctor", "--json")
    [finding] = [one for one in ran.json["checks"] if one["part"] == part]
    return dict(finding)


async def test_a_leaked_hold(seen: Prometheus, shop: Shop) -> None:
    await nothing_drifts()
    await shop.stock("headphones", 10)
    await insist(shop.buyer())

    async def well() -> None:
        assert (await told_by_the_doctor("holds"))["state"] == "ok"

    await look_now(shop.world)
    await eventually(well, timeout=SECONDS)
    await seen.is_over("CartDrift")

    began = time.monotonic()
    await hold(shop, "nobody", "headphones", 3)

    async def named() -> None:
        told = await told_by_the_doctor("holds")
        leak = f"{shop.store_id}/nobody, headphones: 3 held, 0 in the cart (a leaked hold"
        assert (told["state"], leak in told["what"]) == ("failed", True), told
        assert f"`cart reconcile --store {shop.store_id}`" in told["advice"]

    await eventually(named, timeout=SECONDS)
    await seen.fires("CartDrift")
    assert time.monotonic() - began < SECONDS

    ran = await cart("reconcile", "--store", shop.store_id, "--fix")
    assert ran.code == 0, ran.output
    await look_now(shop.world)
    await eventually(well, timeout=SECONDS)
    await seen.is_over("CartDrift")
    await shop.assert_consistent()
    ran = await cart("doctor")
    assert ran.code == 0, ran.output


async def test_a_paused_relay(seen: Prometheus, shop: Shop) -> None:
    user = f"user-{uuid4().hex[:12]}"
    relay = f"releases/{shard_key(shop.store_id, user) % shop.world.settings.relay_shards}"
    assert (await cart("ops", "pause", relay, "--reason", "a test says so")).code == 0
    effect = ReleaseEffect(
        id=str(uuid4()), product_id="lamp", quantity=1, saga_id="undone", reason="saga_aborted"
    )
    old = datetime.now(UTC) - timedelta(seconds=30)
    await record(
        shop, user_id=user, state="aborted", pending=True, effects=[effect], at=old
    ).insert()
    await seen.fires("CartRelayBehind")
    assert [one for one in await shop.records() if one.pending]

    assert (await cart("ops", "resume", relay)).code == 0
    await seen.is_over("CartRelayBehind")
    assert not [one for one in await shop.records() if one.pending]


async def test_a_consumer_that_gets_nowhere(
    seen: Prometheus, shop: Shop, settings: Settings
) -> None:
    """Its event is of a cart that somebody else does not let go of."""
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    await insist(buyer)
    cart_of_buyer = await buyer.cart()
    assert cart_of_buyer is not None

    async def taken() -> Any:
        return await shop.world.temporal.start_workflow(
            "Nobody", id=buyer.workflow_id, task_queue=f"nobody-{uuid4().hex}"
        )

    holder = await eventually(taken)
    async with other_services(settings) as others:
        await others.order(buyer, str(cart_of_buyer.id))
    await seen.fires("CartConsumerStuck")

    await holder.terminate("a test says so")
    await seen.is_over("CartConsumerStuck")

    async def done() -> None:
        assert await shop.units("headphones") == (9, 0, 1)

    await eventually(done, timeout=SECONDS)


async def test_tokens_of_another_secret(seen: Prometheus, shop: Shop) -> None:
    await shop.stock("headphones", 10)
    wrong = shop.world.settings.model_copy(update={"jwt_secret": SecretStr("another" * 8)})
    stranger = Shop(replace(shop.world, settings=wrong), shop.store_id).buyer()

    async def told() -> None:
        answers = await asyncio.gather(*(stranger.get() for _ in range(10)))
        assert {answer.status_code for answer in answers} == {401}
        assert "CartTokensRefused" in await seen.alerts()

    await eventually(told, timeout=SECONDS, interval=0.5)
    await insist(shop.buyer())
    await seen.is_over("CartTokensRefused")
