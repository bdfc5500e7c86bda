"""MongoDB: business figures, aggregated over carts and records."""

from datetime import datetime, timedelta
from typing import Any

from adapters.mongo.client import LIST_SECONDS, READ_SECONDS, bounded
from models.documents import ENDED_CART, Cart, OperationRecord
from models.money import Money
from models.upkeep.figures import WINDOW_DAYS, BusinessFigures, EndedCarts, rate

AGGREGATE_SECONDS = 60.0
_ENDED = {"order_completed": "ordered", "expired": "expired", "user": "cleared"}


class FigureStore:
    """The stored figures. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def measure(self, at: datetime) -> BusinessFigures:
        """Aggregates all carts, and the records of carts that ended in the last `WINDOW_DAYS`."""
        carts, items, value = await self._carts()
        ended = await self._ended(at - timedelta(days=WINDOW_DAYS))
        return BusinessFigures(
            at=at,
            carts=carts,
            items_total=items,
            value_total=value,
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

    async def _carts(self) -> tuple[int, int, dict[str, Money]]:
        """The number of carts and units, and the value by currency."""
        by_currency: dict[str, Any] = {
            "_id": "$currency",
            "carts": {"$sum": 1},
            "items": {"$sum": "$quantity"},
            "value": {"$sum": "$totalPrice"},
        }
        async with bounded(AGGREGATE_SECONDS):
            found = await Cart.get_pymongo_collection().aggregate([{"$group": by_currency}])
            rows = [row async for row in found]
        return (
            sum(row["carts"] for row in rows),
            sum(row["items"] for row in rows),
            {row["_id"]: row["value"].to_decimal() for row in rows},
        )

    async def _ended(self, since: datetime) -> EndedCarts:
        ended = ENDED_CART | {"at": {"$gte": since}}
        by_reason = {"_id": "$reason", "carts": {"$sum": 1}}
        async with bounded(AGGREGATE_SECONDS):
            found = await OperationRecord.get_pymongo_collection().aggregate(
                [{"$match": ended}, {"$group": by_reason}]
            )
            rows = {row["_id"]: row["carts"] async for row in found}
        return EndedCarts(**{name: rows.get(reason, 0) for reason, name in _ENDED.items()})
