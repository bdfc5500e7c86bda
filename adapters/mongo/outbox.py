"""MongoDB: pending effects of operations (the outbox).

Effects are stored in the operations' records (`models.documents.OperationRecord`), which are
written in the same transaction as the cart.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pymongo import WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.read_concern import ReadConcern

from adapters.mongo.client import LIST_SECONDS, READ_SECONDS, bounded, in_cart
from models.cart import CartKey
from models.documents import OperationRecord, PendingEffects, buckets_of
from models.effects import AnyEffect, EffectKind, EventEffect

CART_RECORDS = 100
CART_BATCH = 20
CART_BYTES = 1_000_000
RELEASE_BYTES = 1_000
"""About what a release takes in memory."""
PROBLEM_LENGTH = 300
MOST_COUNTED = 10_000
"""Where counting ends: then there are at least so many."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many records of a shard have pending effects of a kind, at most `MOST_COUNTED`.

    `oldest` is the time of the oldest, `next_try` the next time at which one is due.
    """

    kind: EffectKind
    shard: int
    records: int
    oldest: datetime | None
    next_try: datetime | None


class Outbox:
    """Pending effects. Raises `DependencyUnavailable` when MongoDB does not answer."""

    async def due(
        self, kind: EffectKind, *, shard: int, shards: int, before: datetime, limit: int
    ) -> list[CartKey]:
        """The carts of the `limit` records of a shard that have been due the longest.

        Due is what has its next try before `before`. A cart is named once for each record.
        """
        wanted = _in_shard(kind, shard, shards) | {f"due.{kind}.at": {"$lt": before}}
        async with bounded(READ_SECONDS):
            found = (
                OperationRecord.get_pymongo_collection()
                .find(wanted, {"storeId": 1, "userId": 1}, hint=f"{kind}s_by_at")
                .sort(f"due.{kind}.at", 1)
                .limit(limit)
            )
            return [CartKey(record["storeId"], record["userId"]) async for record in found]

    async def of_cart(
        self, kind: EffectKind, cart: CartKey, *, before: datetime | None = None
    ) -> list[PendingEffects]:
        """A cart's records with pending effects of this kind, oldest first.

        With `before` only those whose next try is before this time. At most `CART_RECORDS`, and no
        more once they have `CART_BYTES`.
        """
        wanted = _of_cart(kind, cart)
        if before is not None:
            wanted[f"due.{kind}.at"] = {"$lt": before}
        records: list[PendingEffects] = []
        size = 0
        async with bounded(READ_SECONDS):
            found = OperationRecord.find(
                wanted,
                projection_model=PendingEffects,
                hint="pending_by_cart",
                batch_size=CART_BATCH,
            )
            async for record in found.sort("+at").limit(CART_RECORDS):
                size += sum(map(_size, record.effects))
                records.append(record)
                if size > CART_BYTES:
                    break
        return records

    async def defer(
        self, kind: EffectKind, record: PendingEffects, *, until: datetime, problem: str
    ) -> None:
        """Notes a failed try of a record's effects, and when they are tried next.

        The cart's later events wait at least as long, because they follow in order.
        """
        records = OperationRecord.get_pymongo_collection()
        due = f"due.{kind}"
        failed = _record(record.key, record.id) | {due: {"$exists": True}}
        noted = {f"{due}.at": until, f"{due}.problem": problem[:PROBLEM_LENGTH]}
        async with bounded(LIST_SECONDS):
            await records.update_one(failed, {"$set": noted, "$inc": {f"{due}.attempts": 1}})
        if kind is EffectKind.EVENT:
            await self.postpone(kind, record.key, until=until)

    async def postpone(self, kind: EffectKind, cart: CartKey, *, until: datetime) -> None:
        """Sets the next try of all effects of a kind of a cart to `until`, or later."""
        async with bounded(LIST_SECONDS):
            await OperationRecord.get_pymongo_collection().update_many(
                _of_cart(kind, cart), {"$max": {f"due.{kind}.at": until}}, hint="pending_by_cart"
            )

    async def postpone_records(
        self, kind: EffectKind, record_ids: Sequence[str], *, until: datetime
    ) -> None:
        """The same for the effects of these records."""
        async with bounded(LIST_SECONDS):
            await OperationRecord.get_pymongo_collection().update_many(
                {"_id": {"$in": [*record_ids]}, f"due.{kind}.at": {"$exists": True}},
                {"$max": {f"due.{kind}.at": until}},
            )

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

    async def shards_due(self, kind: EffectKind, *, before: datetime, shards: int) -> list[int]:
        """The shards with an effect of this kind whose next try should have been before a time."""
        records = OperationRecord.get_pymongo_collection()
        due = {f"due.{kind}.at": {"$lt": before}}

        async def is_due(shard: int) -> bool:
            wanted = _in_shard(kind, shard, shards) | due
            return await records.find_one(wanted, {"_id": 1}, hint=f"{kind}s_by_at") is not None

        async with bounded(READ_SECONDS):
            found = await asyncio.gather(*map(is_due, range(shards)))
        return [shard for shard, waits in enumerate(found) if waits]

    async def waiting(self, kind: EffectKind, *, shard: int = 0, shards: int = 1) -> Waiting:
        """How much of a kind is pending in a shard (without one: in all), and since when."""
        records = OperationRecord.get_pymongo_collection()
        wanted = _in_shard(kind, shard, shards)

        async def first(time: str) -> datetime | None:
            field, index = f"due.{kind}.{time}", f"{kind}s_by_{time}"
            found = await records.find_one(wanted, {field: 1}, sort=[(field, 1)], hint=index)
            return found["due"][kind][time] if found else None

        async with bounded(READ_SECONDS):
            count, oldest, due = await asyncio.gather(
                records.count_documents(wanted, limit=MOST_COUNTED, hint=f"{kind}s_by_since"),
                first("since"),
                first("at"),
            )
        return Waiting(kind, shard, count, oldest, due)

    async def waiting_shards(self, shards: int) -> list[Waiting]:
        """The shards with something pending, those that have waited longest first."""
        waiting = await asyncio.gather(
            *(
                self.waiting(kind, shard=shard, shards=shards)
                for kind in EffectKind
                for shard in range(shards)
            )
        )
        return sorted(
            (one for one in waiting if one.oldest is not None),
            key=lambda one: one.oldest or datetime.now(UTC),
        )

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
                _of_cart(EffectKind.EVENT, cart) | {"_id": {"$ne": record_id}}, {"_id": True}
            )
        return found is not None

    async def mark_done(
        self,
        record: PendingEffects,
        effects: Sequence[AnyEffect],
        at: datetime,
        *,
        lasting: bool = True,
    ) -> None:
        """Marks effects of a record as done. It is pending until all its effects are done.

        With `lasting` False the write is not acknowledged by a majority. If it is lost with the
        primary, the relay does the effect again.
        """
        done = {effect.id for effect in effects}
        async with bounded(READ_SECONDS):
            if all(one.id in done or one.done_at is not None for one in record.effects):
                await self._mark_last(record, [*done], at, lasting=lasting)
            else:
                which, ending = _record(record.key, record.id), {"doneAt": at}
                await self._mark(which, [*done], ending, lasting=lasting)

    async def _mark_last(
        self, record: PendingEffects, effect_ids: Sequence[str], at: datetime, *, lasting: bool
    ) -> None:
        """Marks all that was left to do of a record. Half of what `_mark` costs MongoDB.

        Marks nothing of a record that has got more effects since it was read; a relay finds them,
        and does these again.
        """
        await _written(lasting=lasting).update_one(
            _record(record.key, record.id) | {"effects": {"$size": len(record.effects)}},
            {"$set": {"effects.$[one].doneAt": at, "pending": False, "due": {}}},
            array_filters=[{"one.id": {"$in": effect_ids}}],
        )

    async def skip(self, effect_id: str, *, reason: str, at: datetime) -> bool:
        """Marks a pending effect as skipped; False when no pending effect has this id.

        What the cart has pending of this kind is due at once: it may have waited for this effect.
        """
        record = await self.holder(effect_id)
        if record is None:
            return False
        [kind] = [EffectKind(one.kind) for one in record.effects if one.id == effect_id]
        async with bounded(READ_SECONDS):
            skipped = {"doneAt": at, "skippedBecause": reason}
            await self._mark(_record(record.key, record.id), (effect_id,), skipped)
            await OperationRecord.get_pymongo_collection().update_many(
                _of_cart(kind, record.key), {"$set": {f"due.{kind}.at": at}}, hint="pending_by_cart"
            )
        return True

    async def _mark(
        self,
        which: dict[str, Any],
        effect_ids: Sequence[str],
        ending: dict[str, Any],
        *,
        lasting: bool = True,
    ) -> None:
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
        await _written(lasting=lasting).update_one(
            which,
            [
                {"$set": {"effects": ended}},
                {
                    "$set": {
                        "pending": {"$in": [None, "$effects.doneAt"]},
                        "due": {kind.value: _left(kind) for kind in EffectKind},
                    }
                },
            ],
        )


def _written(*, lasting: bool) -> AsyncCollection[dict[str, Any]]:
    """The records; with `lasting` False its writes are not acknowledged by a majority."""
    records = OperationRecord.get_pymongo_collection()
    return records if lasting else records.with_options(write_concern=WriteConcern(w=1))


def _size(effect: AnyEffect) -> int:
    """About how many bytes an effect takes in memory."""
    return len(effect.value) if isinstance(effect, EventEffect) else RELEASE_BYTES


async def waiting_since(
    records: AsyncCollection[dict[str, Any]],
    kind: EffectKind,
    *,
    before: datetime,
    shown: dict[str, Any],
    limit: int,
) -> tuple[int, list[dict[str, Any]]]:
    """How many records have effects of a kind that are pending since before a time, at most
    `MOST_COUNTED`; and the fields `shown` of the `limit` oldest of them."""
    since, index = f"due.{kind}.since", f"{kind}s_by_since"
    old = _in_shard(kind, 0, 1) | {since: {"$lt": before}}
    count = await records.count_documents(old, limit=MOST_COUNTED, hint=index)
    found = records.find(old, shown, sort=[(since, 1)], limit=limit, hint=index)
    return count, [record async for record in found]


def _in_shard(kind: EffectKind, shard: int, shards: int) -> dict[str, Any]:
    return {f"due.{kind}.bucket": {"$in": buckets_of(shard, shards)}}


def _record(cart: CartKey, record_id: str) -> dict[str, Any]:
    return {"_id": record_id} | in_cart(cart)


def _of_cart(kind: EffectKind, cart: CartKey) -> dict[str, Any]:
    return in_cart(cart) | {"pending": True, f"due.{kind}.bucket": {"$exists": True}}


def _left(kind: EffectKind) -> dict[str, Any]:
    """An expression: the entry in `due` while an effect of the kind is pending."""
    undone = {
        "$filter": {
            "input": "$effects",
            "cond": {"$and": [{"$eq": ["$$this.kind", kind]}, {"$eq": ["$$this.doneAt", None]}]},
        }
    }
    return {"$cond": [{"$eq": [undone, []]}, "$$REMOVE", f"$due.{kind}"]}
