"""The signals of the operators' page on open sagas and relays, through the API of the stack."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError

from models.actor import Intervention
from models.cart import CartKey
from models.documents import bucket_of
from tests.integration.test_ops import plant_release
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually
from tests.workflows.conftest import Bench
from tests.workflows.test_ops import cart_name, start
from workflows import policies

LONG = timedelta(minutes=10)  # longer than requests take on a busy machine


async def send(admin: Buyer, action: str, **body: str) -> httpx.Response:
    """Posts a signal as this admin."""
    body = {"reason": "for a test", **body}
    http = admin.shop.world.http
    return await http.post(f"/admin/ops/{action}", json=body, headers=admin.headers, timeout=60)


async def read(admin: Buyer, route: str, **parameters: str) -> Any:
    answer = await admin.shop.world.http.get(
        f"/admin/ops/{route}", params=parameters, headers=admin.headers, timeout=60
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_admin_of_the_store_aborts_a_saga(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("start_to_close_timeout", "schedule_to_close_timeout"):
        monkeypatch.setitem(policies.PERSIST_CART, bound, LONG)
    shop = bench.shop
    buyer, admin = shop.buyer(), shop.buyer(role="admin", store=shop.store_id)
    arrived, _ = bench.faults.hold("persist")
    started = await start(bench, buyer)
    await asyncio.wait_for(arrived.wait(), 30)
    run = started.handle.run_id or ""

    other = shop.buyer(role="admin", store="another-store")
    assert (await send(other, "abort", saga=cart_name(buyer))).status_code == 404
    assert (await send(shop.buyer(), "abort", saga=cart_name(buyer))).status_code == 403
    answer = await send(admin, "abort", saga=cart_name(buyer))
    assert answer.status_code == 200, answer.text
    assert answer.json()["sagas"][0]["runId"] == run

    async def aborted() -> None:
        shown = await read(admin, "show", saga=run)
        assert (shown["outcome"], shown["recorded"]) == ("aborted", "aborted")

    await eventually(aborted, timeout=60)
    assert await shop.units("headphones") == (10, 0, 0)
    assert await buyer.cart() is None
    [record] = await shop.records()
    by = f"admin:{admin.user_id}"
    assert record.intervention == Intervention(by=by, reason="for a test")


async def test_a_stopped_saga_is_acknowledged_and_no_longer_stuck(bench: Bench) -> None:
    shop = bench.shop
    buyer, admin = shop.buyer(), shop.buyer(role="admin", store=shop.store_id)
    bench.faults.fail("persist", "before", ApplicationError("a defect", non_retryable=True))
    started = await start(bench, buyer)
    with pytest.raises(WorkflowFailureError):
        await started.handle.result()
    bench.faults.heal()
    run = started.handle.run_id or ""

    async def stuck(expected: list[str]) -> None:
        found = await read(admin, "stuck", storeId=shop.store_id)
        assert [problem["name"] for problem in found["problems"]] == expected

    await eventually(partial(stuck, [run]), timeout=60)
    assert (await send(admin, "ack", saga=run)).status_code == 200
    await stuck([])
    shown = await read(admin, "show", saga=run)
    by = f"admin:{admin.user_id}"
    assert (shown["acknowledged"]["by"], shown["acknowledged"]["reason"]) == (by, "for a test")


async def test_only_a_stopped_saga_is_acknowledged(bench: Bench) -> None:
    buyer, admin = bench.shop.buyer(), bench.shop.buyer(role="admin")
    await (await start(bench, buyer)).handle.result()
    refused = await send(admin, "ack", saga=cart_name(buyer))
    assert (refused.status_code, refused.json()["code"]) == (409, "saga_not_stopped")
    assert "is committed" in refused.json()["message"]


async def test_a_paused_relay_does_all_but_a_skipped_effect(shop: Shop) -> None:
    user = f"user-{uuid4().hex[:12]}"
    shard = bucket_of(CartKey(shop.store_id, user)) % shop.world.settings.relay_shards
    relay, admin = f"release/{shard}", shop.buyer(role="admin")
    assert (await send(admin, "pause", relay=relay)).status_code == 200
    first, second = [await plant_release(shop, user, quantity) for quantity in (1, 2)]

    async def found() -> None:
        relays = {one["relay"]: one for one in (await read(admin, "pending"))["relays"]}
        assert relays[relay]["effects"] == 2
        assert relays[relay]["pausedBy"] == f"admin:{admin.user_id}: for a test"

    await eventually(found, timeout=60)
    effects = (await read(admin, "pending", storeId=shop.store_id))["effects"]
    assert [effect["effectId"] for effect in effects] == [first.id, second.id]

    skipped = await send(admin, "skip", effect=first.id)
    assert skipped.json()["done"], skipped.text
    assert (await send(admin, "skip", effect=first.id)).status_code == 404
    assert (await send(admin, "resume", relay=relay)).status_code == 200

    async def done() -> None:
        records = await shop.records()
        assert not any(record.pending for record in records)
        given_up, delivered = [record.effects[0] for record in records]
        assert given_up.skipped_because == f"for a test (admin:{admin.user_id})"
        assert (delivered.done_at is not None, delivered.skipped_because) == (True, None)

    await eventually(done)


async def test_relays_are_steered_by_admins_of_all_stores_only(shop: Shop) -> None:
    admin = shop.buyer(role="admin", store=shop.store_id)
    for action, body in (
        ("retry", {"relay": "event/1"}),
        ("pause", {"relay": "event/1"}),
        ("resume", {"relay": "event/1"}),
        ("skip", {"effect": "e-1"}),
    ):
        assert (await send(admin, action, **body)).status_code == 403
