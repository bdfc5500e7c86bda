"""MongoDB: the effects of operations that are still to be done, in the order of their carts.

The outbox is no collection of its own: the effects stand in the records of the operations
(`models.operation`), written by the same transaction as the cart. It works on the documents that
`adapters.mongo.client.connect` has bound.
"""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import WriteConcern
from pymongo.read_concern import ReadConcern

from adapters.mongo.client import LIST_SECONDS, READ_SECONDS, bounded
from models.operation import Operation
from models.relays import RelayKind

CartKey = tuple[str, str]
"""(store id, user id)."""

_EFFECT = {RelayKind.EVENTS: "event", RelayKind.RELEASES: "release"}


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many effects of a kind are pending in a shard; the oldest was left at `oldest`."""

    kind: RelayKind
    shard: int
    effects: int
    oldest: datetime


class Outbox:
    """Pending effects. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def pending(
        self,
        kind: RelayKind,
        *,
        shard: int,
        shards: int,
        limit: int,
        besides: Collection[CartKey] = (),
    ) -> list[Operation]:
        """The oldest records of a shard with an effect of this kind to do, oldest first.

        Those of the carts in `besides` are left out.
        """
        wanted = _waiting(kind) | {"shardKey": {"$mod": [shards, shard]}}
        if besides:
            wanted["$nor"] = [{"storeId": store, "userId": user} for store, user in besides]
        async with bounded(READ_SECONDS):
            return await Operation.find(wanted).sort("+at").to_list(limit)

    async def done_since(
        self, since: datetime, *, store_id: str | None, size: int
    ) -> AsyncIterator[list[Operation]]:
        """Pages of the committed records since a time whose effects are all done, oldest first."""
        at_once: list[str] = []  # the ids of those that began in the last millisecond seen
        while True:
            wanted: dict[str, Any] = {
                "state": "committed",
                "pending": False,
                "at": {"$gte": since},
                "_id": {"$nin": at_once},
            }
            if store_id is not None:
                wanted["storeId"] = store_id
            async with bounded(LIST_SECONDS):
                page = await Operation.find(wanted).sort("+at").to_list(size)
            if not page:
                return
            yield page
            last = page[-1].at
            seen = [record.id for record in page if record.at == last]
            at_once = [*at_once, *seen] if last == since else seen
            since = last

    async def shards_waiting(self, kind: RelayKind, *, before: datetime, shards: int) -> list[int]:
        """The shards with an effect of this kind that has been pending since `before`."""
        pipeline: list[dict[str, Any]] = [
            {"$match": _waiting(kind) | {"at": {"$lt": before}}},
            {"$group": {"_id": {"$mod": ["$shardKey", shards]}}},
        ]
        async with bounded(READ_SECONDS):
            cursor = await Operation.get_pymongo_collection().aggregate(pipeline)
            return sorted([row["_id"] async for row in cursor])

    async def waiting(self, shards: int) -> list[Waiting]:
        """What is pending, by kind and shard, the longest waiting first."""
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
        kinds = {effect: kind for kind, effect in _EFFECT.items()}
        async with bounded(READ_SECONDS):
            cursor = await Operation.get_pymongo_collection().aggregate(pipeline)
            return [
                Waiting(
                    kind=kinds[row["_id"]["kind"]],
                    shard=row["_id"]["shard"],
                    effects=row["effects"],
                    oldest=row["oldest"],
                )
                async for row in cursor
            ]

    async def pending_of(
        self, *, store_id: str | None, user_id: str | None, limit: int
    ) -> list[Operation]:
        """Records with pending effects of a store or a user, the oldest first."""
        wanted: dict[str, Any] = {"pending": True}
        if store_id is not None:
            wanted["storeId"] = store_id
        if user_id is not None:
            wanted["userId"] = user_id
        async with bounded(READ_SECONDS):
            return await Operation.find(wanted).sort("+at").to_list(limit)

    async def holder(self, effect_id: str) -> Operation | None:
        """The record whose effect this is, while that is pending."""
        async with bounded(READ_SECONDS):
            return await Operation.find_one(
                {"pending": True, "effects": {"$elemMatch": {"id": effect_id, "doneAt": None}}}
            )

    async def has_earlier_events(self, cart: CartKey, *, run_id: str) -> bool:
        """Whether another run on the cart has left events to the relay.

        Asked of the primary alone, as `mark_done` may be.
        """
        store_id, user_id = cart
        records = Operation.get_pymongo_collection().with_options(read_concern=ReadConcern("local"))
        async with bounded(READ_SECONDS):
            found = await records.find_one(
                _waiting(RelayKind.EVENTS)
                | {"storeId": store_id, "userId": user_id, "_id": {"$ne": run_id}},
                {"_id": True},
            )
        return found is not None

    async def mark_done(
        self, run_id: str, effect_ids: tuple[str, ...], at: datetime, *, lasting: bool = True
    ) -> None:
        """Marks effects as done; the record stops being pending with its last one.

        A mark that need not be `lasting` does not wait for the journal or a majority: where it is
        lost with the primary, the relay does the effect once more.
        """
        async with bounded(READ_SECONDS):
            await self._end({"_id": run_id}, effect_ids, {"doneAt": at}, lasting=lasting)

    async def skip(self, effect_id: str, *, reason: str, at: datetime) -> bool:
        """Ends a pending effect without doing it; False when there is none with this id."""
        async with bounded(READ_SECONDS):
            return await self._end(
                {"pending": True, "effects": {"$elemMatch": {"id": effect_id, "doneAt": None}}},
                (effect_id,),
                {"doneAt": at, "skippedBecause": reason},
            )

    async def _end(
        self,
        which: dict[str, Any],
        effect_ids: tuple[str, ...],
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
        records = Operation.get_pymongo_collection()
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


def _waiting(kind: RelayKind) -> dict[str, Any]:
    return {
        "pending": True,
        "effects": {"$elemMatch": {"kind": _EFFECT[kind], "doneAt": None}},
    }
