"""MongoDB: pending effects of operations (the outbox).

Effects are stored in the operations' records (`models.documents.OperationRecord`), which are
written in the same transaction as the cart.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import WriteConcern
from pymongo.read_concern import ReadConcern

from adapters.mongo.client import LIST_SECONDS, READ_SECONDS, bounded
from models.cart import CartKey
from models.documents import OperationRecord
from models.effects import EffectKind


@dataclass(frozen=True, slots=True)
class Waiting:
    """The number of pending effects of a kind in a shard, and the time of the oldest record."""

    kind: EffectKind
    shard: int
    effects: int
    oldest: datetime


class Outbox:
    """Pending effects. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def pending(
        self,
        kind: EffectKind,
        *,
        shard: int,
        shards: int,
        limit: int,
        exclude: Collection[CartKey] = (),
    ) -> list[OperationRecord]:
        """A shard's records with a pending effect of this kind, oldest first.

        Without the records of the carts in `exclude`.
        """
        wanted = _waiting(kind) | {"shardKey": {"$mod": [shards, shard]}}
        if exclude:
            wanted["$nor"] = [{"storeId": store, "userId": user} for store, user in exclude]
        async with bounded(READ_SECONDS):
            return await OperationRecord.find(wanted).sort("+at").to_list(limit)

    async def done_since(
        self, since: datetime, *, store_id: str | None, size: int
    ) -> AsyncIterator[list[OperationRecord]]:
        """Pages of the committed records since a time without pending effects, oldest first."""
        seen: list[str] = []  # the ids at the time `since`
        while True:
            wanted: dict[str, Any] = {
                "state": "committed",
                "pending": False,
                "at": {"$gte": since},
                "_id": {"$nin": seen},
            }
            if store_id is not None:
                wanted["storeId"] = store_id
            async with bounded(LIST_SECONDS):
                page = await OperationRecord.find(wanted).sort("+at").to_list(size)
            if not page:
                return
            yield page
            last = page[-1].at
            ids = [record.id for record in page if record.at == last]
            seen = [*seen, *ids] if last == since else ids
            since = last

    async def shards_waiting(self, kind: EffectKind, *, before: datetime, shards: int) -> list[int]:
        """The shards with an effect of this kind that has been pending since `before`."""
        pipeline: list[dict[str, Any]] = [
            {"$match": _waiting(kind) | {"at": {"$lt": before}}},
            {"$group": {"_id": {"$mod": ["$shardKey", shards]}}},
        ]
        async with bounded(READ_SECONDS):
            cursor = await OperationRecord.get_pymongo_collection().aggregate(pipeline)
            return sorted([row["_id"] async for row in cursor])

    async def waiting(self, shards: int) -> list[Waiting]:
        """Pending effects by kind and shard, oldest first."""
        pipeline: list[dict[str, Any]] = [
            {"$match": {"pending": True}},
            {"$unwind": "$effects"},
            {"$match": {"effects.doneAt": None}},
            {
                "$group": {
                    "_id": {
                        "kind": "$effects.kind",
                        "shard": {"$mod": ["$shardKey", shards]},
                    },
                    "effects": {"$sum": 1},
                    "oldest": {"$min": "$at"},
                }
            },
            {"$sort": {"oldest": 1}},
        ]
        async with bounded(READ_SECONDS):
            cursor = await OperationRecord.get_pymongo_collection().aggregate(pipeline)
            return [
                Waiting(
                    kind=EffectKind(row["_id"]["kind"]),
                    shard=row["_id"]["shard"],
                    effects=row["effects"],
                    oldest=row["oldest"],
                )
                async for row in cursor
            ]

    async def pending_of(
        self, *, store_id: str | None, user_id: str | None, limit: int
    ) -> list[OperationRecord]:
        """The records with pending effects of a store or a user (None: any), oldest first."""
        wanted: dict[str, Any] = {"pending": True}
        if store_id is not None:
            wanted["storeId"] = store_id
        if user_id is not None:
            wanted["userId"] = user_id
        async with bounded(READ_SECONDS):
            return await OperationRecord.find(wanted).sort("+at").to_list(limit)

    async def holder(self, effect_id: str) -> OperationRecord | None:
        """The record with this pending effect, or None."""
        async with bounded(READ_SECONDS):
            return await OperationRecord.find_one(
                {"pending": True, "effects": {"$elemMatch": {"id": effect_id, "doneAt": None}}}
            )

    async def has_earlier_events(self, cart: CartKey, *, record_id: str) -> bool:
        """Whether another record of the cart has pending events.

        Reads the primary's own data, because `mark_done` may not wait for a majority either.
        """
        records = OperationRecord.get_pymongo_collection().with_options(
            read_concern=ReadConcern("local")
        )
        async with bounded(READ_SECONDS):
            found = await records.find_one(
                _waiting(EffectKind.EVENT)
                | {"storeId": cart.store_id, "userId": cart.user_id, "_id": {"$ne": record_id}},
                {"_id": True},
            )
        return found is not None

    async def mark_done(
        self, record_id: str, effect_ids: Sequence[str], at: datetime, *, lasting: bool = True
    ) -> None:
        """Marks effects as done. The record is pending until all its effects are done.

        With `lasting` False the write is not acknowledged by a majority. If it is lost with the
        primary, the relay does the effect again.
        """
        async with bounded(READ_SECONDS):
            await self._mark({"_id": record_id}, effect_ids, {"doneAt": at}, lasting=lasting)

    async def skip(self, effect_id: str, *, reason: str, at: datetime) -> bool:
        """Marks a pending effect as skipped; False when no pending effect has this id."""
        async with bounded(READ_SECONDS):
            return await self._mark(
                {"pending": True, "effects": {"$elemMatch": {"id": effect_id, "doneAt": None}}},
                (effect_id,),
                {"doneAt": at, "skippedBecause": reason},
            )

    async def _mark(
        self,
        which: dict[str, Any],
        effect_ids: Sequence[str],
        ending: dict[str, Any],
        *,
        lasting: bool = True,
    ) -> bool:
        ended = {
            "$map": {
                "input": "$effects",
                "in": {
                    "$cond": [
                        {"$in": ["$$this.id", list(effect_ids)]},
                        {"$mergeObjects": ["$$this", {"$literal": ending}]},
                        "$$this",
                    ]
                },
            }
        }
        records = OperationRecord.get_pymongo_collection()
        if not lasting:
            records = records.with_options(write_concern=WriteConcern(w=1))
        result = await records.update_one(
            which,
            [
                {"$set": {"effects": ended}},
                {"$set": {"pending": {"$in": [None, "$effects.doneAt"]}}},
            ],
        )
        return result.matched_count > 0


def _waiting(kind: EffectKind) -> dict[str, Any]:
    return {
        "pending": True,
        "effects": {"$elemMatch": {"kind": kind.value, "doneAt": None}},
    }
