"""What an operation keeps: a small record for months, a large answer for a day."""

from typing import Any

from bson import encode

from models.documents import LARGE_ANSWER_BYTES, LARGE_ANSWER_KEPT_SECONDS, LargeAnswer
from models.documents import OperationRecord as Record
from tests.support.shop import Buyer, Shop

LINES = 40
MOST_BYTES = 4096


async def filled_cart(shop: Shop) -> Buyer:
    """A buyer whose cart has many lines."""
    buyer = shop.buyer()
    for number in range(LINES):
        await shop.stock(f"product-{number}", 10)
        answer = await buyer.add(f"product-{number}", quantity=1)
        assert answer.status_code == 201
    return buyer


async def stored_record(shop: Shop, version: int) -> dict[str, Any]:
    record = await Record.get_pymongo_collection().find_one(
        {"storeId": shop.store_id, "version": version}
    )
    assert record is not None
    return dict(record)


async def test_a_large_answer_is_kept_for_a_day_beside_a_small_record(shop: Shop) -> None:
    buyer = await filled_cart(shop)
    first = await buyer.add("product-0", quantity=1, key="again")
    assert len(first.content) > 2 * LARGE_ANSWER_BYTES
    record = await stored_record(shop, LINES + 1)
    assert len(encode(record)) < MOST_BYTES

    repeated = await buyer.add("product-0", quantity=1, key="again")
    assert (repeated.status_code, repeated.content) == (first.status_code, first.content)
    assert repeated.headers["Idempotent-Replayed"] == "true"

    indexes = await LargeAnswer.get_pymongo_collection().index_information()
    assert indexes["by_time"]["expireAfterSeconds"] == LARGE_ANSWER_KEPT_SECONDS
    await LargeAnswer.get_pymongo_collection().delete_one({"_id": record["_id"]})  # a day later
    await buyer.add("product-1", quantity=1)
    later = await buyer.add("product-0", quantity=1, key="again")
    assert later.status_code == first.status_code
    assert later.json()["version"] == LINES + 2, "the cart as it is"
    assert later.headers["Idempotent-Replayed"] == "true"


async def test_a_small_answer_stays_in_its_record(shop: Shop) -> None:
    await shop.stock("headphones", 10)
    first = await shop.buyer().add("headphones", quantity=1)
    [record] = await shop.records()
    assert record.answer is not None
    assert record.answer.body == first.text
    assert await LargeAnswer.get(record.id) is None
