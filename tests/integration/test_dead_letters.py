"""Messages that cannot be used become dead letters with a reason; `cart dlq` manages them."""

import json
import time
from typing import Any

import pytest

from adapters.kafka.dead_letters import Letter
from models.events import CART_ITEM_OUT_OF_STOCK, INVENTORY_BACK_IN_STOCK, ORDER_COMPLETED
from models.incoming import MAX_EVENT_BYTES
from tests.support.commands import cart
from tests.support.events import OtherServices
from tests.support.shop import Shop
from tests.support.waiting import eventually

MIB = 1024 * 1024
A_CART = "0123456789abcdef01234567"


async def parked(others: OtherServices, key: str, count: int = 1) -> list[Letter]:
    async def enough() -> list[Letter]:
        letters = await others.letters(key)
        assert len(letters) >= count
        return letters

    return await eventually(enough)


@pytest.mark.parametrize(
    ("topic", "value", "error", "detail"),
    [
        (ORDER_COMPLETED, b"{", "malformed", "no JSON"),
        (ORDER_COMPLETED, b"", "malformed", "no JSON"),
        (ORDER_COMPLETED, b"\xff\xfe", "malformed", "no JSON"),
        (ORDER_COMPLETED, b"[]", "invalid", "object"),
        (ORDER_COMPLETED, {"cartId": A_CART}, "invalid", "userId: Field required"),
        (CART_ITEM_OUT_OF_STOCK, {"cartId": A_CART}, "invalid", "either unavailableItems or"),
        (INVENTORY_BACK_IN_STOCK, {"productId": "a b"}, "invalid", "productId: String should"),
    ],
)
async def test_an_unreadable_message_becomes_a_dead_letter_with_its_reason(
    shop: Shop, others: OtherServices, *, topic: str, value: Any, error: str, detail: str
) -> None:
    key = f"{shop.store_id}-key"
    partition, offset = await others.send(topic, value, key=key, headers={"trace": "t-1"})
    [letter] = await parked(others, key)
    assert (letter.topic, letter.partition, letter.offset) == (topic, partition, offset)
    assert letter.error == error
    assert detail in letter.detail
    assert letter.value == (value if isinstance(value, bytes) else json.dumps(value).encode())
    assert letter.headers == (("trace", b"t-1"),)


@pytest.mark.parametrize("size", [MAX_EVENT_BYTES, MIB - 4096])
async def test_the_dead_letter_of_an_oversized_message_has_its_beginning(
    shop: Shop, others: OtherServices, size: int
) -> None:
    key = f"{shop.store_id}-key"
    await others.send(ORDER_COMPLETED, {"filling": "x" * size}, key=key)
    [letter] = await parked(others, key)
    assert letter.error == "too_large"
    assert letter.size > size
    assert not letter.is_whole
    assert letter.value.startswith(b'{"filling": "xxx')


async def test_a_message_with_unknown_fields_is_processed(
    shop: Shop, others: OtherServices
) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    cart_id = (await buyer.add()).json()["_id"]
    await others.order(buyer, cart_id, loyaltyPoints=7, lines=[{"a": 1}])

    async def cleared() -> None:
        assert await buyer.cart() is None

    await eventually(cleared)


async def test_unusable_messages_hardly_delay_the_ones_behind_them(
    shop: Shop, others: OtherServices
) -> None:
    await shop.stock("headphones", 100)
    buyers = [shop.buyer() for _ in range(2)]
    carts = [(await buyer.add()).json()["_id"] for buyer in buyers]
    took = []
    for buyer, cart_id, unusable in zip(buyers, carts, (0, 20), strict=True):
        begun = time.monotonic()
        for _ in range(unusable):  # the same key: the same partition
            await others.send(ORDER_COMPLETED, b"{", key=cart_id)
        await others.order(buyer, cart_id)

        async def cleared(buyer: Any = buyer) -> None:
            assert await buyer.cart() is None

        await eventually(cleared, interval=0.02)
        took.append(time.monotonic() - begun)
    assert took[1] < took[0] + 20  # a second for each, on a busy machine


async def test_dead_letters_are_listed_shown_replayed_and_dropped(
    shop: Shop, others: OtherServices
) -> None:
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    cart_id = (await buyer.add()).json()["_id"]
    for _ in range(2):
        await others.order(buyer, cart_id, userId="another-user")
    letters = await parked(others, cart_id, 2)

    async def dlq(*words: str) -> Any:
        ran = await cart("dlq", *words, "--json")
        assert ran.code == 0, ran.output
        return ran.json

    listed = await dlq("list", "--key", cart_id)
    assert listed["count"] == 2
    assert listed["counts"] == [{"topic": ORDER_COMPLETED, "error": "wrong_owner", "count": 2}]
    first, second = (letter.id for letter in letters)
    assert [letter["id"] for letter in listed["letters"]] == [first, second]
    assert (await dlq("show", first))["value"] == letters[0].value.decode()

    dry = await dlq("replay", "--key", cart_id, "--error", "wrong_owner", "--dry-run")
    assert (dry["dryRun"], dry["replayed"]) == (True, [first, second])
    assert (await dlq("list", "--key", cart_id))["count"] == 2

    assert (await dlq("replay", first))["replayed"] == [first]
    third = (await parked(others, cart_id, 3))[2]  # the replay fails in the same way
    assert third.value == letters[0].value
    dropped = await dlq("drop", second, third.id, "--reason", "a test order")
    assert dropped["dropped"] == [second, third.id]
    assert (await dlq("list", "--key", cart_id))["count"] == 0
    history = (await dlq("list", "--key", cart_id, "--all"))["letters"]
    assert [letter["resolution"] for letter in history] == ["replayed", "dropped", "dropped"]
    assert history[1]["resolvedBecause"] == "a test order"

    ran = await cart("dlq", "drop", "--reason", "no filter")
    assert (ran.code, "or say --all" in ran.output) == (2, True)
    ran = await cart("dlq", "list", "--key", cart_id, "--all")
    assert (ran.code, "wrong_owner (dropped)" in ran.output) == (0, True), ran.output


async def test_a_replayed_dead_letter_has_its_effect_once(
    shop: Shop, others: OtherServices
) -> None:
    """The order named the wrong store; a correct order with its id is applied before the replay."""
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    cart_id = (await buyer.add(quantity=3)).json()["_id"]
    item = [{"productId": "headphones", "quantity": 1}]
    order_id = await others.order(buyer, cart_id, items=item, storeId="another-store")
    [letter] = await parked(others, cart_id)
    assert letter.error == "wrong_owner"
    await others.order(buyer, cart_id, order_id, items=item)

    async def sold_one() -> None:
        assert await shop.units("headphones") == (7, 2, 1)

    await eventually(sold_one)
    for _ in range(2):
        ran = await cart("dlq", "replay", letter.id)
        assert ran.code == 0, ran.output
    await parked(others, cart_id, 2)
    await sold_one()
