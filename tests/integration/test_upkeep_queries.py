"""What schedules read of the carts does not grow with the number of carts."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.upkeep.passes import Scan
from adapters.mongo import figures
from adapters.mongo.cart_scans import CartScans
from adapters.mongo.figures import FigureStore
from adapters.mongo.reconcile import CartBooks
from models.cart_line import ProductAvailability
from models.documents import BUCKETS, Cart, OperationRecord, buckets_of
from models.upkeep.figures import BucketFigures, EndedInHour
from tests.support.carts import cart_of, operation_record
from tests.support.profiler import profiled
from tests.support.schedules import paused_schedules
from tests.support.shop import Shop, World

CARTS = 4000
RUNNERS = 4
LIMIT = 50


@pytest.fixture
async def carts(shop: Shop, world: World) -> AsyncIterator[None]:
    """Many carts with the same product, most of which have not expired."""
    async with paused_schedules(world.temporal):
        now = timedelta(0)
        await Cart.insert_many(
            cart_of(
                shop.store_id,
                f"user-{number}",
                {"lamp": 1},
                expires_in=now - timedelta(hours=1) if number % 4 == 0 else timedelta(days=30),
            )
            for number in range(CARTS)
        )
        yield
        await Cart.find({"storeId": shop.store_id}).delete()
        await BucketFigures.find_all().delete()


def reads(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The queries and aggregations among the commands."""
    return [one for one in entries if one.get("planSummary")]


@pytest.mark.usefixtures("carts")
async def test_a_page_of_expiry_reads_no_more_than_it_takes() -> None:
    async with profiled([Cart]) as entries:
        found = await CartScans().expired(
            buckets=buckets_of(1, RUNNERS), before=datetime.now(UTC), exclude=(), limit=LIMIT
        )
    assert len(found) == LIMIT
    [query] = reads(entries)
    assert not query.get("hasSortStage")
    assert query["docsExamined"] <= LIMIT
    assert query["keysExamined"] <= LIMIT + 2 * BUCKETS


@pytest.mark.usefixtures("carts")
@pytest.mark.parametrize(
    ("field", "scan"),
    [
        ("holdsEnd", CartScans().to_lapse),
        ("checkout", CartScans().to_thaw),
        ("abandonAt", CartScans().to_abandon),
    ],
)
async def test_a_page_of_what_is_due_reads_no_more_than_it_takes(
    shop: Shop, field: str, scan: Scan
) -> None:
    now = datetime.now(UTC)
    for due, users in ((now, "user-.*[02468]"), (now + timedelta(hours=1), "user-.*[13579]")):
        await Cart.find({"storeId": shop.store_id, "userId": {"$regex": f"^{users}$"}}).update(
            {"$set": {field: {"expiresAt": due} if field == "checkout" else due}}
        )
    async with profiled([Cart]) as entries:
        found = await scan(buckets=buckets_of(1, RUNNERS), before=now, exclude=(), limit=LIMIT)
    assert len(found) == LIMIT
    [query] = reads(entries)
    assert not query.get("hasSortStage")
    assert query["docsExamined"] <= LIMIT
    assert query["keysExamined"] <= LIMIT + 2 * BUCKETS


@pytest.mark.usefixtures("carts")
@pytest.mark.parametrize("after", [None, "0" * 24])
async def test_a_page_of_a_products_carts_reads_no_more_than_it_takes(after: str | None) -> None:
    news = ProductAvailability(
        product_id="lamp", status="out_of_stock", at=datetime.now(UTC) + timedelta(hours=1)
    )
    async with profiled([Cart]) as entries:
        found = await CartScans().to_mark(
            news, buckets=buckets_of(2, RUNNERS), store_id=None, after=after, limit=LIMIT
        )
    assert len(found) == LIMIT
    [query] = reads(entries)
    assert not query.get("hasSortStage")
    assert query["docsExamined"] <= LIMIT + BUCKETS
    assert query["keysExamined"] <= LIMIT + 3 * BUCKETS


@pytest.mark.usefixtures("carts")
async def test_the_runners_find_each_cart_once(shop: Shop) -> None:
    found = [
        cart.cart_id
        for runner in range(RUNNERS)
        for cart in await CartScans().expired(
            buckets=buckets_of(runner, RUNNERS),
            before=datetime.now(UTC),
            exclude=(),
            limit=CARTS,
        )
        if cart.key.store_id == shop.store_id
    ]
    assert len(found) == len({*found}) == CARTS // 4


@pytest.mark.usefixtures("carts")
async def test_the_figures_read_an_index_alone_and_so_many_carts_in_a_run(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "BUCKETS_OF_A_QUERY", 4)
    monkeypatch.setattr(figures, "CARTS_OF_A_RUN", 500)
    await BucketFigures.find_all().delete()
    everything = await Cart.count()
    totals = []
    for _ in range(everything // 500 + 2):
        async with profiled([Cart]) as entries:
            totals.append((await FigureStore().measure(datetime.now(UTC))).carts)
        for query in reads(entries):
            assert query["docsExamined"] == 0
            assert "COLLSCAN" not in query["planSummary"]
        of_a_query = everything * 4 // BUCKETS * 2
        assert sum(query["keysExamined"] for query in reads(entries)) <= 500 + of_a_query
    assert totals[0] < everything
    assert totals[-1] == everything


async def test_hours_that_are_final_are_not_counted_again(
    shop: Shop, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "WINDOW_DAYS", 1)
    now = datetime.now(UTC)
    hours = 20
    async with paused_schedules(world.temporal):
        await EndedInHour.find_all().delete()
        before = (await FigureStore().measure(now)).ended.expired
        await EndedInHour.find_all().delete()
        records = [
            operation_record(shop, "expired", at=now - timedelta(hours=hour))
            for hour in range(hours)
            for _ in range(50)
        ]
        await OperationRecord.insert_many(records)
        assert (await FigureStore().measure(now)).ended.expired == before + 50 * hours
        async with profiled([OperationRecord]) as entries:
            again = await FigureStore().measure(now + timedelta(minutes=5))
        assert again.ended.expired == before + 50 * hours
        assert all(query["docsExamined"] == 0 for query in reads(entries))
        assert 1 <= len(reads(entries)) <= 4
        await OperationRecord.find({"storeId": shop.store_id}).delete()
        await EndedInHour.find_all().delete()


@pytest.mark.usefixtures("carts")
async def test_the_list_of_stores_reads_a_key_of_each() -> None:
    async with profiled([Cart]) as entries:
        stores = [store async for store in CartBooks().stores()]
    assert len(stores) == len({*stores})
    assert stores == sorted(stores)
    assert sum(query["keysExamined"] for query in reads(entries)) <= 3 * len(stores) + 100
    assert all(query["docsExamined"] == 0 for query in reads(entries))
