"""`cart ops` against the running service: sagas, relays, and a paused store."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

from temporalio.client import WorkflowHandle

from models.cart import CartKey
from models.documents import OperationRecord, bucket_of, due_at
from models.effects import ReleaseEffect
from models.intake import IntakeHold
from models.operations import AddItem, RepairCart
from models.outcomes import OperationResult, Outcome
from tests.support.actors import SHOPPER
from tests.support.commands import cart
from tests.support.events import OtherServices
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually
from workflows.requests import policy_of, search_attributes_of

BY = ("--by", "alice", "--reason", "for a test")


async def ran(*words: str, code: int = 0) -> Any:
    """Runs `cart ops` with this exit code; the JSON that it prints."""
    ended = await cart("ops", *words, "--json")
    assert ended.code == code, ended.output
    return ended.json


async def test_a_saga_is_found_by_each_of_its_names(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    buyer = shop.buyer()
    await buyer.add(quantity=2)
    [record] = await shop.records()

    async def listed() -> Any:
        found = await ran("list", "--store", shop.store_id, "--user", buyer.user_id)
        assert found["count"] == 1
        assert found["sagas"][0]["outcome"] == "committed"
        return found

    [saga] = (await eventually(listed, timeout=60))["sagas"]
    assert (saga["operation"], saga["productId"]) == ("AddItem", "headphones")
    assert saga["runId"] in saga["url"]
    for name in (
        f"{shop.store_id}/{buyer.user_id}",
        record.run_id,
        record.operation_id,
        record.saga_id,
    ):
        shown = await ran("show", name)
        assert (shown["runId"], shown["sagaId"]) == (record.run_id, record.saga_id)
    steps = [step["what"] for step in shown["steps"]]
    assert steps[:2] == ["started", "reserve_inventory"]
    assert "persist_cart" in steps
    assert shown["holds"] == shown["cart"]["lines"] == {"headphones": 2}
    assert shown["next"] == ["Nothing: it has ended, and the cart and its reservations agree"]
    assert (await ran("wait", record.run_id))["sagas"][0]["outcome"] == "committed"
    for unknown in ("store-0/user-0", str(uuid4())):
        assert (await cart("ops", "show", unknown)).code == 3
    assert (await cart("ops", "show", "it's")).code == 2


async def test_rejected_and_aborted_sagas_are_listed_separately(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    refused, undone = shop.buyer(), shop.buyer()
    assert (await refused.add(quantity=6)).status_code == 200
    await shop.fault("reserve", "error", times=3)
    assert (await undone.add(quantity=1)).status_code == 503

    for buyer, outcome in ((refused, "rejected"), (undone, "aborted")):

        async def listed(buyer: Buyer = buyer, outcome: str = outcome) -> None:
            found = await ran("list", "--store", shop.store_id, "--outcome", outcome)
            assert [saga["userId"] for saga in found["sagas"]] == [buyer.user_id]

        await eventually(listed, timeout=60)
        ended = await ran("wait", f"{shop.store_id}/{buyer.user_id}", code=5)
        assert ended["sagas"][0]["outcome"] == outcome


async def test_show_says_what_each_operation_did_to_each_line(
    shop: Shop, others: OtherServices
) -> None:
    for product in ("headphones", "cable"):
        await shop.stock(product, 20)
    buyer = shop.buyer()
    http, headers = shop.world.http, buyer.headers
    added = await buyer.add(quantity=2)
    await buyer.add("cable", quantity=5)
    path = f"/api/v1/cart/{added.json()['_id']}"
    for quantity in (6, 4):
        body = {"productId": "headphones", "quantity": quantity}
        assert (await http.put(path, json=body, headers=headers)).status_code == 200
    items = [{"productId": "cable", "quantity": 3}]
    order = await others.order(buyer, added.json()["_id"], items=items)

    async def ordered() -> None:
        found = await buyer.cart()
        assert found is not None
        assert found.units == {"headphones": 4, "cable": 2}
        assert not any(record.pending for record in await shop.records())

    await eventually(ordered)
    assert (await buyer.clear()).status_code == 200
    records = await eventually(partial(settled, shop))
    did = []
    for record in records:
        lines = (await ran("show", record.run_id))["lines"]
        did.append(
            [
                (line["productId"], line["before"], line["after"], line["price"], line["inventory"])
                for line in lines
            ]
        )
    assert did == [
        [("headphones", 0, 2, "79.99", "reserved 2")],
        [("cable", 0, 5, "79.99", "reserved 5")],
        [("headphones", 2, 6, "79.99", "reserved 4")],
        [("headphones", 6, 4, "79.99", "released 2: quantity_reduced")],
        [("cable", 5, 2, "79.99", f"released 3: order_completed {order}")],
        [
            ("headphones", 4, 0, "79.99", "released 4: user"),
            ("cable", 2, 0, "79.99", "released 2: user"),
        ],
    ]
    assert await look_for_drift(buyer) is Outcome.UNCHANGED

    async def shown() -> None:
        cart_page = await ran("show", f"{shop.store_id}/{buyer.user_id}")
        assert cart_page["operation"] == "ClearCart", "not the look for drift after it"
        assert [change["what"] for change in cart_page["latest"]] == [
            "user, headphones 4 -> 0, cable 2 -> 0",
            f"order {order}, cable 5 -> 2",
            "headphones 6 -> 4",
            "headphones 2 -> 6",
            "cable 0 -> 5",
            "headphones 0 -> 2",
        ]

    await eventually(shown, timeout=60)


async def settled(shop: Shop) -> list[OperationRecord]:
    records = await shop.records()
    assert not any(record.pending for record in records)
    return records


async def look_for_drift(buyer: Buyer) -> Outcome:
    """A look at the cart under its lock, which finds and changes nothing."""
    world = buyer.shop.world
    look = RepairCart(
        store_id=buyer.shop.store_id,
        user_id=buyer.user_id,
        operation_id=uuid4().hex,
        attempt_id=uuid4().hex,
        fingerprint="",
        actor=SHOPPER,
        policy=policy_of(world.settings),
        reason="a test",
        fix=True,
        stuck_before=datetime.now(UTC) - timedelta(hours=1),
    )
    handle: WorkflowHandle[Any, OperationResult] = await world.temporal.start_workflow(
        RepairCart.name,
        look,
        id=buyer.workflow_id,
        task_queue=world.settings.temporal_task_queue,
        search_attributes=search_attributes_of(look),
        result_type=OperationResult,
    )
    return (await handle.result()).outcome


async def test_a_paused_store_refuses_changes_and_shows_its_carts(shop: Shop) -> None:
    await shop.stock("headphones", 10_000)
    buyer, neighbour = shop.buyer(), Shop(shop.world).buyer()
    await neighbour.shop.stock("headphones", 5)
    await buyer.add()
    held = await ran("hold-intake", "--store", shop.store_id, *BY, "--retry-after", "7")
    assert (held["state"], held["by"]) == ("held", "alice")

    async def refused() -> None:  # an add succeeds until the API knows of the pause
        answer = await shop.buyer().add()
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
        assert answer.json()["code"] == "intake_held"

    await eventually(refused)
    assert (await buyer.get()).status_code == 200
    assert (await neighbour.add()).status_code == 201
    problems = (await ran("stuck", code=1))["problems"]
    assert shop.store_id in {problem["name"] for problem in problems}
    await ran("release-intake", "--store", shop.store_id, "--by", "bob")

    async def accepted_again() -> None:
        assert (await shop.buyer().add()).status_code == 201

    await eventually(accepted_again)
    assert (await cart("ops", "release-intake", "--store", shop.store_id)).code == 3
    [hold] = await IntakeHold.find({"storeId": shop.store_id}).to_list()
    assert (hold.active, hold.by, hold.reason, hold.released_by) == (
        False,
        "alice",
        "for a test",
        "bob",
    )


async def test_a_paused_relay_is_found_and_delivers_all_but_a_skipped_effect(shop: Shop) -> None:
    user = f"user-{uuid4().hex[:12]}"
    shard = bucket_of(CartKey(shop.store_id, user)) % shop.world.settings.relay_shards
    relay = f"release/{shard}"
    asked = datetime.now(UTC)
    answered = await ran("pause", relay, *BY)
    assert answered == {
        "action": "pause",
        "by": "alice",
        "reason": "for a test",
        "relays": [relay],
        "done": True,
    }
    first, second = [await plant_release(shop, user, quantity) for quantity in (1, 2)]

    async def found() -> None:
        problems = (await ran("stuck", code=1))["problems"]
        [problem] = [one for one in problems if one["name"] == relay]
        assert "is paused since 20" in problem["what"]
        assert "Z by alice: for a test; 2 pending" in problem["what"]
        assert problem["since"] >= asked.isoformat(timespec="seconds")
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
        assert skipped.skipped_because == "for a test (alice)"
        assert (delivered.done_at is not None, delivered.skipped_because) == (True, None)

    await eventually(done)


async def plant_release(shop: Shop, user: str, quantity: int) -> ReleaseEffect:
    """Stores a pending release of units that were never held, which the inventory accepts."""
    effect = ReleaseEffect(
        id=str(uuid4()),
        product_id="headphones",
        quantity=quantity,
        saga_id=f"saga-{quantity}",
        reason="saga_aborted",
    )
    await OperationRecord(
        _id=str(uuid4()),
        state="aborted",
        operation=AddItem.name,
        operation_id=uuid4().hex,
        run_id=str(uuid4()),
        saga_id=effect.saga_id,
        fingerprint="",
        actor=SHOPPER,
        store_id=shop.store_id,
        user_id=user,
        effects=[effect],
        pending=True,
        due=due_at(CartKey(shop.store_id, user), [effect], datetime.now(UTC)),
        at=datetime.now(UTC) - timedelta(seconds=10 - quantity),
    ).insert()
    return effect


async def test_an_admin_gets_a_link_to_the_saga(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    admin = shop.buyer(role="admin", store=shop.store_id)
    added = await admin.add()
    page = f"/workflows/cart%2F{shop.store_id}%2F{admin.user_id}>"
    assert page in added.headers["Link"]
    read = await shop.world.http.get(f"/api/v1/cart/{added.json()['_id']}", headers=admin.headers)
    assert page in read.headers["Link"]
    assert "Link" not in (await shop.buyer().add()).headers
