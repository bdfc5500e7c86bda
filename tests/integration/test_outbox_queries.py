"""What the queries of relays and gauges read does not depend on what else is pending."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from adapters.mongo.outbox import CART_BYTES, MOST_COUNTED, RELEASE_BYTES, Outbox
from models.cart import CartKey
from models.documents import BUCKETS, OperationRecord, bucket_of
from models.effects import EffectKind, ReleaseEffect
from tests.support.carts import operation_record
from tests.support.profiler import profiled
from tests.support.shop import APP_NAME, Shop

BACKLOG = 12_000
LIMIT = 50


@pytest.fixture
async def backlog(shop: Shop) -> AsyncIterator[int]:
    """Many pending events of one bucket, which is returned."""
    user = uuid4().hex
    bucket = bucket_of(CartKey(shop.store_id, user))
    now = datetime.now(UTC) + timedelta(hours=1)  # no relay takes them before
    records = OperationRecord.get_pymongo_collection()
    await records.insert_many(
        {
            "_id": f"{shop.store_id}-{number}",
            "state": "committed",
            "operationId": uuid4().hex,
            "storeId": shop.store_id,
            "userId": user,
            "effects": [],
            "pending": True,
            "due": {"event": {"bucket": bucket, "at": now, "since": now, "attempts": 0}},
            "at": now + timedelta(milliseconds=number),
        }
        for number in range(BACKLOG)
    )
    yield bucket
    await records.delete_many({"storeId": shop.store_id})


def of_relays(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The queries of the tests for what is due, or its age; the stack's relays have theirs."""
    return [
        one
        for one in entries
        if "planSummary" in one
        and "due.event" in str(one["command"])
        and one.get("appName") == APP_NAME
    ]


async def test_another_shards_relay_reads_nothing_of_a_backlog(backlog: int) -> None:
    other = (backlog + 1) % BUCKETS
    async with profiled([OperationRecord]) as noted:
        await Outbox().due(
            EffectKind.EVENT,
            shard=other,
            shards=BUCKETS,
            before=datetime.now(UTC) + timedelta(days=1),
            limit=LIMIT,
        )
    [query] = of_relays(noted)
    assert query["planSummary"].startswith("IXSCAN")
    assert query["docsExamined"] == 0
    assert query["keysExamined"] <= 1


@pytest.mark.parametrize("shards", [1, 2, 16, BUCKETS])
async def test_a_relay_reads_no_more_of_its_own_backlog_than_it_takes(
    backlog: int, shards: int
) -> None:
    async with profiled([OperationRecord]) as noted:
        carts = await Outbox().due(
            EffectKind.EVENT,
            shard=backlog % shards,
            shards=shards,
            before=datetime.now(UTC) + timedelta(days=1),
            limit=LIMIT,
        )
    assert len(carts) == LIMIT
    [query] = of_relays(noted)
    assert not query.get("hasSortStage")
    assert query["docsExamined"] <= LIMIT
    assert query["keysExamined"] <= LIMIT + 2 * BUCKETS


async def test_counting_ends_at_its_bound(backlog: int) -> None:
    async with profiled([OperationRecord]) as noted:
        waiting = await Outbox().waiting(EffectKind.EVENT)
    assert waiting.records == MOST_COUNTED
    assert waiting.oldest is not None
    assert all(query["keysExamined"] <= MOST_COUNTED + 2 * BUCKETS for query in of_relays(noted))


async def test_what_is_read_of_a_cart_at_once_has_a_bounded_size(shop: Shop) -> None:
    """Also of releases: the clear of a full cart leaves a hundred of them."""
    later = datetime.now(UTC) + timedelta(hours=1)
    releases = [
        ReleaseEffect(id=uuid4().hex, product_id=f"p{n}", quantity=1, saga_id="s", reason="cleared")
        for n in range(100)
    ]
    records = [
        operation_record(shop, pending=True, effects=releases, at=later + timedelta(seconds=n))
        for n in range(50)
    ]
    await OperationRecord.insert_many(records)
    read = await Outbox().of_cart(EffectKind.RELEASE, records[0].key)
    await OperationRecord.find({"storeId": shop.store_id}).delete()
    assert 0 < len(read) * len(releases) * RELEASE_BYTES <= CART_BYTES + 100 * RELEASE_BYTES
    assert [one.id for one in read] == [one.id for one in records[: len(read)]]
