"""MongoDB: business figures, added up of parts.

Carts are counted bucket by bucket, and carts that ended hour by hour. A run counts again the
buckets that were counted the longest ago, up to a number of carts, and the hours that are not
final. Both read an index alone, and a secondary where there is one.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pymongo import ReadPreference, ReplaceOne

from adapters.mongo.client import LIST_SECONDS, READ_SECONDS, bounded, stored_form
from models.documents import BUCKETS, ENDED_CART, Cart, OperationRecord
from models.upkeep.figures import (
    WINDOW_DAYS,
    BucketFigures,
    BusinessFigures,
    EndedCarts,
    EndedInHour,
    rate,
)

CARTS_OF_A_RUN = 200_000
CARTS_OF_A_QUERY = 50_000
BUCKETS_OF_A_QUERY = 16
HOURS_OF_A_RUN = 48
FINAL_AFTER = timedelta(hours=3)
"""A cart that ended in an hour is recorded by this time after the hour began."""

AGGREGATE_SECONDS = 20.0
HOUR = timedelta(hours=1)
_NEVER = datetime.fromtimestamp(0, UTC)
_ENDED = {"order_completed": "ordered", "expired": "expired", "user": "cleared"}


class FigureStore:
    """The stored figures. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def measure(self, at: datetime) -> BusinessFigures:
        """Counts the parts that are due, and adds all parts up."""
        buckets = await self._count_carts(at)
        hours = await self._count_ended(at)
        ended = EndedCarts(
            ordered=sum(hour.ended.ordered for hour in hours),
            expired=sum(hour.ended.expired for hour in hours),
            cleared=sum(hour.ended.cleared for hour in hours),
        )
        currencies = sorted({currency for bucket in buckets for currency in bucket.value})
        return BusinessFigures(
            at=at,
            carts_since=min((bucket.at for bucket in buckets), default=at),
            carts=sum(bucket.carts for bucket in buckets),
            items_total=sum(bucket.items for bucket in buckets),
            value_total={
                currency: sum(bucket.value.get(currency, Decimal(0)) for bucket in buckets)
                for currency in currencies
            },
            ended=ended,
            abandonment_rate=rate(ended.expired, ended.total),
            conversion_rate=rate(ended.ordered, ended.total),
        )

    async def keep(self, figures: BusinessFigures) -> None:
        """Replaces the stored figures."""
        async with bounded(READ_SECONDS):
            await figures.save()

    async def latest(self) -> BusinessFigures | None:
        """The stored figures; None before the first measurement."""
        async with bounded(LIST_SECONDS):
            return await BusinessFigures.find_one()

    async def _count_carts(self, at: datetime) -> list[BucketFigures]:
        """Counts buckets again, those first that were counted the longest ago; returns all."""
        async with bounded(LIST_SECONDS):
            parts = {part.id: part for part in await BucketFigures.find_all().to_list()}
        counted = 0
        for buckets in _queries(parts):
            if counted >= CARTS_OF_A_RUN:
                break
            new = await _carts_of(buckets, at)
            async with bounded(LIST_SECONDS):
                await BucketFigures.get_pymongo_collection().bulk_write(
                    [ReplaceOne({"_id": part.id}, stored_form(part), upsert=True) for part in new]
                )
            counted += sum(part.carts for part in new)
            parts |= {part.id: part for part in new}
        return list(parts.values())

    async def _count_ended(self, at: datetime) -> list[EndedInHour]:
        """Counts the hours of the window that are not final, the latest first; returns all."""
        this_hour = at.replace(minute=0, second=0, microsecond=0)
        hours = [this_hour - number * HOUR for number in range(WINDOW_DAYS * 24 + 1)]
        async with bounded(LIST_SECONDS):
            await EndedInHour.find({"_id": {"$lt": hours[-1]}}).delete()
            parts = {part.id: part for part in await EndedInHour.find_all().to_list()}
        due = [hour for hour in hours if hour not in parts or parts[hour].at < hour + FINAL_AFTER]
        for hour in due[:HOURS_OF_A_RUN]:
            part = EndedInHour(_id=hour, at=at, ended=await _ended_in(hour))
            async with bounded(READ_SECONDS):
                await part.save()
            parts[hour] = part
        return list(parts.values())


def _queries(parts: dict[int, BucketFigures]) -> Iterator[list[int]]:
    """All buckets, those first that were counted the longest ago, as many as one query counts."""
    query: list[int] = []
    carts = 0
    for bucket in sorted(range(BUCKETS), key=lambda one: parts[one].at if one in parts else _NEVER):
        query.append(bucket)
        carts += parts[bucket].carts if bucket in parts else CARTS_OF_A_QUERY // BUCKETS_OF_A_QUERY
        if len(query) == BUCKETS_OF_A_QUERY or carts >= CARTS_OF_A_QUERY:
            yield query
            query, carts = [], 0
    if query:
        yield query


async def _carts_of(buckets: list[int], at: datetime) -> list[BucketFigures]:
    parts = {bucket: BucketFigures(_id=bucket, at=at) for bucket in buckets}
    grouped: dict[str, Any] = {
        "_id": {"bucket": "$bucket", "currency": "$currency"},
        "carts": {"$sum": 1},
        "items": {"$sum": "$quantity"},
        "value": {"$sum": "$totalPrice"},
    }
    carts = Cart.get_pymongo_collection().with_options(
        read_preference=ReadPreference.SECONDARY_PREFERRED
    )
    async with bounded(AGGREGATE_SECONDS):
        rows = await carts.aggregate(
            [{"$match": {"bucket": {"$in": buckets}}}, {"$group": grouped}], hint="figures"
        )
        async for row in rows:
            part = parts[row["_id"]["bucket"]]
            part.carts += row["carts"]
            part.items += row["items"]
            part.value[row["_id"]["currency"]] = row["value"].to_decimal()
    return list(parts.values())


async def _ended_in(hour: datetime) -> EndedCarts:
    ended = ENDED_CART | {"at": {"$gte": hour, "$lt": hour + HOUR}}
    records = OperationRecord.get_pymongo_collection().with_options(
        read_preference=ReadPreference.SECONDARY_PREFERRED
    )
    async with bounded(AGGREGATE_SECONDS):
        found = await records.aggregate(
            [{"$match": ended}, {"$group": {"_id": "$reason", "carts": {"$sum": 1}}}],
            hint="ended_carts",
        )
        rows = {row["_id"]: row["carts"] async for row in found}
    return EndedCarts(**{name: rows.get(reason, 0) for reason, name in _ENDED.items()})
