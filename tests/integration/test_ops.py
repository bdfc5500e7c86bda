"""`cart ops` against the running service: sagas, relays, and a store whose intake is held."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from models.intake import IntakeHold
from models.messages import ReleaseEffect
from models.operation import Operation, shard_key
from tests.support.commands import cart
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually
from workflows import ids

BY = ("--by", "alice", "--reason", "a test says so")


async def ran(*words: str, code: int = 0) -> Any:
    """The JSON that a command prints; it must end with this code."""
    ended = await cart("ops", *words, "--json")
    assert ended.code == code, ended.output
    return ended.json


async def test_an_add_is_found_in_every_way_that_names_it(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    buyer = shop.buyer()
    await buyer.add(quantity=2)
    [record] = await shop.records()

    async def listed() -> Any:
        told = await ran("list", "--store", shop.store_id, "--user", buyer.user_id)
        assert told["count"] == 1
        assert told["sagas"][0]["outcome"] == "committed"
        return told

    told = await eventually(listed, timeout=60)
    [saga] = told["sagas"]
    assert (saga["operation"], saga["productId"]) == ("AddItem", "headphones")
    assert saga["runId"] in saga["url"]
    for name in (
        f"{shop.store_id}/{buyer.user_id}",
        record.id,
        record.operation_id,
        record.saga_id,
    ):
        shown = await ran("show", name)
        assert (shown["runId"], shown["sagaId"]) == (record.id, record.saga_id)
    steps = [step["what"] for step in shown["steps"]]
    assert steps[:2] == ["started", "reserve_hold"]
    assert "commit_change" in steps
    assert shown["holds"] == shown["cart"]["lines"] == {"headphones": 2}
    assert shown["next"] == ["Nothing: it has ended, and cart and holds agree"]
    assert (await ran("wait", record.id))["sagas"][0]["outcome"] == "committed"
    for nobody in ("store-0/user-0", str(uuid4())):
        assert (await cart("ops", "show", nobody)).code == 3
    assert (await cart("ops", "show", "it's")).code == 2


async def test_what_was_refused_and_undone_is_told_apart(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    refused, undone = shop.buyer(), shop.buyer()
    assert (await refused.add(quantity=6)).status_code == 200
    await shop.fault("reserve", "error", times=3)
    assert (await undone.add(quantity=1)).status_code == 503

    for buyer, outcome in ((refused, "rejected"), (undone, "aborted")):

        async def listed(buyer: Buyer = buyer, outcome: str = outcome) -> None:
            told = await ran("list", "--store", shop.store_id, "--outcome", outcome)
            assert [saga["userId"] for saga in told["sagas"]] == [buyer.user_id]

        await eventually(listed, timeout=60)
        ended = await ran("wait", f"{shop.store_id}/{buyer.user_id}", code=5)
        assert ended["sagas"][0]["outcome"] == outcome


async def test_a_held_store_takes_no_changes_and_shows_its_carts(shop: Shop) -> None:
    await shop.stock("headphones", 10_000)
    buyer, neighbour = shop.buyer(), Shop(shop.world).buyer()
    await neighbour.shop.stock("headphones", 5)
    await buyer.add()
    held = await ran("hold-intake", "--store", shop.store_id, *BY, "--retry-after", "7")
    assert (held["state"], held["by"]) == ("held", "alice")

    async def turned_away() -> None:  # soon; until then it is an add like any other
        answer = await shop.buyer().add()
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
        assert answer.json()["code"] == "intake_held"

    await eventually(turned_away)
    assert (await buyer.get()).status_code == 200
    assert (await neighbour.add()).status_code == 201
    problems = (await ran("stuck", code=1))["problems"]
    assert shop.store_id in {problem["name"] for problem in problems}
    await ran("release-intake", "--store", shop.store_id, "--by", "bob")

    async def taken_again() -> None:
        assert (await shop.buyer().add()).status_code == 201

    await eventually(taken_again)
    assert (await cart("ops", "release-intake", "--store", shop.store_id)).code == 3
    [hold] = await IntakeHold.find({"storeId": shop.store_id}).to_list()
    assert (hold.active, hold.by, hold.reason, hold.released_by) == (
        False,
        "alice",
        "a test says so",
        "bob",
    )


async def test_a_paused_relay_is_found_an_effect_skipped_and_the_rest_done(shop: Shop) -> None:
    user = f"user-{uuid4().hex[:12]}"
    shard = shard_key(shop.store_id, user) % shop.world.settings.relay_shards
    relay = f"releases/{shard}"
    told = await ran("pause", relay, *BY)
    assert told == {
        "action": "pause",
        "by": "alice",
        "reason": "a test says so",
        "relays": [relay],
        "done": True,
    }
    first, second = [await plant_release(shop, user, quantity) for quantity in (1, 2)]

    async def found() -> None:
        problems = (await ran("stuck", code=1))["problems"]
        [problem] = [one for one in problems if one["name"] == relay]
        assert "paused by alice: a test says so" in problem["what"]
        assert problem["advice"] == f"`cart ops resume {relay}`"

    await eventually(found, timeout=60)
    relays = {one["relay"]: one for one in (await ran("pending"))["relays"]}
    assert relays[relay]["effects"] == 2
    effects = (await ran("pending", "--store", shop.store_id))["effects"]
    assert [effect["effectId"] for effect in effects] == [first.id, second.id]

    assert (await ran("skip", first.id, *BY))["done"]
    assert (await cart("ops", "skip", first.id, *BY)).code == 3
    await ran("resume", relay, "--by", "bob")

    async def done() -> None:
        records = await shop.records()
        assert not any(record.pending for record in records)
        skipped, delivered = [record.effects[0] for record in records]
        assert skipped.skipped_because == "a test says so (alice)"
        assert (delivered.done_at is not None, delivered.skipped_because) == (True, None)

    await eventually(done)


async def plant_release(shop: Shop, user: str, quantity: int) -> ReleaseEffect:
    """A record with a hold to give back, which there never was; the inventory accepts that."""
    effect = ReleaseEffect(
        id=str(uuid4()),
        product_id="headphones",
        quantity=quantity,
        saga_id=f"saga-{quantity}",
        reason="saga_aborted",
    )
    await Operation(
        id=str(uuid4()),
        state="aborted",
        operation=ids.ADD_ITEM,
        operation_id=uuid4().hex,
        saga_id=effect.saga_id,
        fingerprint="",
        store_id=shop.store_id,
        user_id=user,
        effects=[effect],
        pending=True,
        shard_key=shard_key(shop.store_id, user),
        at=datetime.now(UTC) - timedelta(seconds=10 - quantity),
    ).insert()
    return effect


async def test_an_admin_is_shown_the_way_to_the_saga(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    admin = shop.buyer(role="admin", store=shop.store_id)
    added = await admin.add()
    page = f"/workflows/cart%2F{shop.store_id}%2F{admin.user_id}>"
    assert page in added.headers["Link"]
    read = await shop.world.http.get(f"/api/v1/cart/{added.json()['_id']}", headers=admin.headers)
    assert page in read.headers["Link"]
    assert "Link" not in (await shop.buyer().add()).headers
