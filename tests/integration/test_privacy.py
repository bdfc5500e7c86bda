"""A user's data: what the export shows, and that nothing of it is found after the erasure."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from adapters.redis.pool import RedisPool
from models.documents import OperationRecord
from models.events import CART_CLEARED
from tests.support.commands import Ran, cart
from tests.support.dumps import dump_mongodb, dump_redis, dump_temporal, places_of
from tests.support.events import OtherServices
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Shopped:
    """A buyer with an applied order and another cart; the ordered cart, and the order."""

    buyer: Buyer
    name: str
    email: str
    ordered: str
    order: str


@pytest.fixture
async def redis(shop: Shop) -> AsyncIterator[RedisPool]:
    pool = RedisPool(shop.world.settings.redis)
    yield pool
    await pool.close()


async def nothing_is_pending(shop: Shop) -> None:
    async def done() -> None:
        assert not any(record.pending for record in await shop.records())

    await eventually(done)


async def shopped(shop: Shop, others: OtherServices) -> Shopped:
    await shop.stock("headphones", 20)
    name, email = f"Perdita {uuid4().hex}", f"{uuid4().hex}@example.com"
    buyer = shop.buyer(name=name, email=email)
    ordered = (await buyer.add(quantity=2, key="first")).json()
    assert (await buyer.add(quantity=50)).status_code == 200  # too few
    order = await others.order(buyer, ordered["_id"])

    async def applied() -> None:
        assert await buyer.cart() is None

    await eventually(applied)
    added = await buyer.add(quantity=3, key="second")
    assert added.json()["fullName"] == name
    repeated = await buyer.add(quantity=3, key="second")
    assert (repeated.content, repeated.headers["Idempotent-Replayed"]) == (added.content, "true")
    assert (await buyer.get()).json()["fullName"] == name
    await nothing_is_pending(shop)
    return Shopped(buyer, name, email, ordered["_id"], order)


def document_in(ran: Ran) -> Any:
    """The JSON in an output, in which lines of standard error may come first."""
    return Ran(ran.code, ran.output[ran.output.index("{\n") :]).json


async def erased(*words: str) -> Any:
    """The JSON of an erasure that is complete. What there is may grow while it is counted."""

    async def done() -> Any:
        plan = await cart("privacy", "erase", *words, "--dry-run", "--json")
        assert plan.code == 0, plan.output
        number = str(document_in(plan)["total"])
        ran = await cart("privacy", "erase", *words, "--confirm", number, "--json", timeout=120)
        assert ran.code == 0, ran.output
        return document_in(ran)

    return await eventually(done, timeout=150, interval=1)


async def test_the_export_has_what_is_stored_in_clear_text(
    shop: Shop, others: OtherServices
) -> None:
    was = await shopped(shop, others)

    async def exported() -> Any:
        ran = await cart("privacy", "export", "--user", was.buyer.user_id)
        document = document_in(ran)
        assert len(document["temporal"]) >= 4
        return document

    document = await eventually(exported)
    [stored] = document["carts"]
    assert (stored["fullName"], stored["email"], stored["quantity"]) == (was.name, was.email, 3)
    answers = [one["answer"] for one in document["operations"] if one["operation"] == "AddItem"]
    assert was.name in repr(answers)
    for word in (was.ordered, was.order):
        assert word in repr(document["operations"])
    shoppers = [one["input"][0].get("shopper") for one in document["temporal"]]
    assert {"full_name": was.name, "email": was.email} in shoppers
    assert document["deadLetters"] == []


async def test_nothing_is_found_of_a_user_whose_data_was_erased(
    shop: Shop, others: OtherServices, redis: RedisPool
) -> None:
    since = datetime.now(UTC) - timedelta(seconds=1)
    was = await shopped(shop, others)
    buyer, ordered, order = was.buyer, was.ordered, was.order
    traces = (buyer.user_id, was.name, was.email)
    stays = shop.buyer(name="Someone Else")
    assert (await stays.add(quantity=1)).status_code == 201
    before = await dump_mongodb(shop.world)
    for word in traces:
        assert places_of(word, before), "the search finds what is there"
    refused = await cart("privacy", "erase", "--user", buyer.user_id, "--confirm", "1")
    assert refused.code == 6, refused.output
    assert await buyer.cart() is not None

    report = await erased("--user", buyer.user_id, "--as", "the data protection officer")
    assert report["left"]["records"] == report["left"]["carts"] == 0

    for word in traces:
        assert places_of(word, await dump_mongodb(shop.world)) == [], word
        assert places_of(word, await dump_redis(redis)) == [], word

    async def no_history() -> None:
        dump = await dump_temporal(shop.world.temporal, since=since)
        for word in traces:
            assert places_of(word, dump) == [], word

    await eventually(no_history, timeout=60)

    # Stock is released, the sold units stay sold, and others keep what they have.
    assert await shop.units("headphones") == (17, 1, 2)
    assert await shop.holds() == {(stays.user_id, "headphones"): 1}
    assert (await stays.get()).json()["fullName"] == "Someone Else"
    cleared = [event for event in await shop.events() if event.topic == CART_CLEARED]
    # Two carts, whose events are in no order among each other.
    assert {event.value["reason"]: event.value["actorType"] for event in cleared} == {
        "order_completed": "event",
        "privacy_erasure": "operator",
    }
    assert len(cleared) == 2

    # The order is known: when it is delivered again, nothing is sold twice.
    await others.order(buyer, ordered, order, items=[{"productId": "headphones", "quantity": 2}])
    await others.order(buyer, ordered, order)
    marker = (await stays.add("headphones", 1)).json()
    await others.order(stays, marker["_id"])

    async def consumed() -> None:
        assert await stays.cart() is None

    await eventually(consumed)
    await nothing_is_pending(shop)
    assert (await shop.units("headphones"))[2] == 4
    applied = {"storeId": shop.store_id, "operation": "ApplyOrder", "state": "committed"}
    assert await OperationRecord.find(applied).count() == 2


async def test_only_one_store_is_erased_if_it_is_named(shop: Shop) -> None:
    other = Shop(shop.world)
    buyer = shop.buyer(name="Someone")
    elsewhere = Buyer(other, buyer.user_id, buyer.claims)
    for one in (shop, other):
        await one.stock("headphones", 5)
    for who in (buyer, elsewhere):
        assert (await who.add()).status_code == 201
    await erased("--user", buyer.user_id, "--store", shop.store_id)
    assert await buyer.cart() is None
    assert await elsewhere.cart() is not None
    assert (await elsewhere.get()).json()["fullName"] == "Someone"
