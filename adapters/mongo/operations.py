"""MongoDB: the decision on each saga, its record, and the cart that changes with it.

`persist` (the pivot), `settle` and `abandon` write records. The first to write a saga's record
decides the saga; the others find the decision.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from beanie import PydanticObjectId
from pymongo import WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from adapters.bounded_cache import BoundedCache
from adapters.keyring import Keyring
from adapters.mongo import cart_writes, guest_carts
from adapters.mongo.answers import Answers
from adapters.mongo.client import (
    COMMIT_SECONDS,
    READ_SECONDS,
    SETTLE_SECONDS,
    MongoClient,
    bounded,
    in_cart,
)
from adapters.mongo.orders import erased_commit, find_cancellation, find_ordered, releasing_of
from adapters.shoppers import open_shopper
from models.abandonment import after_users_change
from models.cart import CartKey, line_changes
from models.cart_facts import CartFacts, facts_of
from models.cart_line import LineChange
from models.documents import Cart, OperationRecord, due_at
from models.effects import AnyEffect, EffectKind
from models.errors import DependencyUnavailable, VersionConflict
from models.operations import CartChange, ChangeContext
from models.outcomes import AbortReason, OperationResult, Outcome, Refusal, StoredAnswer
from models.saga import SagaRun
from models.steps import (
    ClaimCart,
    LoadCart,
    LoadedCart,
    PersistCart,
    SettleOperation,
    UnclaimCart,
)
from telemetry import tracing

PERSIST_TRIES = 5
RECENT = 512


class Decision(NamedTuple):
    """A saga's record, the cart after it (None: deleted, or never created), and the answer."""

    record: OperationRecord
    cart: Cart | None
    answer: StoredAnswer | None


class OperationStore:
    """Records of operations. Raises `DependencyUnavailable` when MongoDB does not answer."""

    def __init__(self, client: MongoClient, keyring: Keyring, *, grace_seconds: float = 0) -> None:
        """`grace_seconds` is how long a saga has to do its effects before a relay does them."""
        self._client = client
        self._keyring = keyring
        self._answers = Answers(keyring)
        self._grace = timedelta(seconds=grace_seconds)
        # The steps after a decision usually run in the process that wrote it, soon after.
        self._recent: BoundedCache[str, Decision] = BoundedCache(max_size=RECENT)

    async def load(self, request: LoadCart) -> LoadedCart:
        """The cart, and the saga's decision if there is one already."""
        saga = request.saga
        async with bounded(READ_SECONDS):
            record, cart = await asyncio.gather(_find_record(saga), _find(saga.key))
            if record is None and (request.order or request.cancels) is not None:
                record = await erased_commit(saga)
            facts = await _facts(cart, request)
        return LoadedCart(cart=facts, decided=record.result_for(saga) if record else None)

    async def persist(self, request: PersistCart) -> OperationResult:
        """Applies the operation and records the decision, in one transaction.

        The result is `committed`, `rejected` when the cart does not allow the operation, or
        `unchanged` (without a record). Safe to repeat: a saga that is decided gets its decision
        again, and one whose operation an earlier saga committed gets that saga's.

        Raises `VersionConflict` when the cart is not the `expected` one, or keeps changing.
        """
        async with bounded(COMMIT_SECONDS):
            for _ in range(PERSIST_TRIES):
                with suppress(DuplicateKeyError):
                    return await self._persist(request)
                # The saga or its operation is decided, or another cart was created meanwhile.
                record = await _find_record(request.saga)
                if record is not None:
                    return record.result_for(request.saga)
        raise VersionConflict("/".join(request.saga.key))

    async def _persist(self, request: PersistCart) -> OperationResult:
        async with self._client.start_session() as session:
            result, decision = await session.with_transaction(
                lambda session: self._decide(request, session),
                # All reads see one snapshot. The commit, also of a transaction that only reads,
                # waits until a majority has it.
                read_concern=ReadConcern("snapshot"),
                write_concern=WriteConcern("majority"),
            )
        if decision is not None:
            self._recent.keep(decision.record.id, decision)
        return result

    async def _decide(
        self, request: PersistCart, session: AsyncClientSession
    ) -> tuple[OperationResult, Decision | None]:
        """The result, and the decision that is valid once the transaction has committed."""
        saga, operation = request.saga, request.operation
        before = await _find(saga.key, session)
        if before is not None and before.is_blocked(saga.record_id, datetime.now(UTC)):
            raise VersionConflict("/".join(saga.key))
        facts = facts_of(
            before, before and before.id, operation.subject, whole=operation.needs_lines
        )
        guest = await _find(operation.guest, session) if operation.guest else None
        merged = guest_carts.guest_cart(guest, before)
        if merged is not None:
            facts = facts.model_copy(update={"guest": merged.facts})
        cart_id = before.id if before else PydanticObjectId()
        recorded_id = operation.recorded_cart_id or str(cart_id)
        context = ChangeContext(
            saga,
            recorded_id,
            operation.policy.publish,
            tracing.traceparent(),
            open_shopper(self._keyring, operation),
            merged,
        )
        refusal = operation.check(facts)
        is_current = request.expected is None or operation.is_current(request.expected, facts)
        change = operation.apply(before, context) if refusal is None and is_current else None
        if change is not None:
            refusal = operation.check_change(change)
            change = after_users_change(before, change, operation.policy, context)
        if change is None or refusal is not None:
            # A repeat finds its own change in the cart.
            earlier = await _find_record(saga, session)
            if earlier is not None:
                return earlier.result_for(saga), None
            if refusal is not None:
                return await self._reject(saga, refusal, request.reserved, session), None
            if not is_current:
                raise VersionConflict("/".join(saga.key))
            return OperationResult.of(saga, Outcome.UNCHANGED, cart_id=facts.cart_id), None
        answer = StoredAnswer(status=change.status, body=change.body.decode())
        kept, large = self._answers.kept(saga, change)
        lines = line_changes(before, change.cart)
        record = committed_record(saga, recorded_id, change, kept, lines, grace=self._grace)
        after = cart_writes.cart_document(cart_id, change.cart)
        await record.insert(session=session)
        if large is not None:
            await large.insert(session=session)
        await cart_writes.replace_cart(before, after, session)
        if change.ended is not None and guest is not None:
            await guest_carts.ended_record(change.ended, guest).insert(session=session)
            await cart_writes.replace_cart(guest, None, session)
        return record.result(), Decision(record, after, answer)

    async def _reject(
        self,
        saga: SagaRun,
        refusal: Refusal,
        reserved: tuple[AnyEffect, ...],
        session: AsyncClientSession,
    ) -> OperationResult:
        """Records the refusal, so that no other try of the saga commits."""
        record = OperationRecord.of(
            saga,
            outcome=Outcome.REJECTED,
            refusal=refusal,
            effects=reserved,
            grace=self._grace,
        )
        await record.insert(session=session)
        return record.result()

    async def settle(self, request: SettleOperation) -> OperationResult:
        """Records an undecided saga as rejected or aborted, with its releases. It can never commit.

        Returns the decision, which may be an earlier one. An earlier one that was no commit gets
        the releases that it lacks: the try that wrote it had reserved nothing, and a later one has.
        """
        saga = request.saga
        async with bounded(SETTLE_SECONDS):
            record = OperationRecord.of(
                saga,
                outcome=Outcome.REJECTED if request.refusal else Outcome.ABORTED,
                refusal=request.refusal,
                reason=request.reason,
                intervention=request.intervention,
                grace=self._grace,
                effects=request.reserved
                if request.reserved is not None
                else await self._possibly_reserved(request),
            )
            try:
                await record.insert()
            except DuplicateKeyError:
                decided = await _own_record(saga)
                if decided is None:  # written, but not yet to a majority
                    raise DependencyUnavailable(
                        "mongodb", "the record is not on a majority yet"
                    ) from None
                return (await _with_releases(decided, record.effects)).result()
        return record.result()

    async def abandon(self, sagas: Sequence[SagaRun]) -> list[SagaRun]:
        """Records undecided sagas as aborted; returns them.

        For sagas whose runs ended without an undo. They can never commit, even if a worker still
        runs one of their steps.
        """
        if not sagas:
            return []
        async with bounded(SETTLE_SECONDS):
            decided = {
                record["_id"]
                async for record in OperationRecord.get_pymongo_collection().find(
                    {"$or": [{"_id": saga.record_id} | in_cart(saga.key) for saga in sagas]},
                    {"_id": 1},
                )
            }
            undecided = [saga for saga in sagas if saga.record_id not in decided]
            for saga in undecided:
                record = OperationRecord.of(
                    saga, outcome=Outcome.ABORTED, reason=AbortReason.TERMINATED
                )
                with suppress(DuplicateKeyError):
                    await record.insert()
        return undecided

    async def claim(self, request: ClaimCart) -> None:
        """Claims a guest's cart for the saga that merges it (`adapters.mongo.guest_carts`)."""
        await guest_carts.claim(request)

    async def unclaim(self, request: UnclaimCart) -> None:
        """Gives the saga's claim up, if it has one."""
        await guest_carts.unclaim(request)

    @staticmethod
    async def _possibly_reserved(request: SettleOperation) -> tuple[AnyEffect, ...]:
        """Releases of the units that an earlier try of the saga may have reserved.

        An undecided saga has not changed the cart, so the units are computed from the cart again. A
        release of units that were never reserved has no effect.
        """
        saga, operation = request.saga, request.operation
        if not operation.policy.reserve:
            return ()
        load = LoadCart.of(saga, operation)
        return operation.undo_of(saga, await _facts(await _find(saga.key), load))

    async def decision(self, saga: SagaRun) -> Decision:
        """A saga's record and its cart, for the steps after the decision.

        Raises `LookupError` while the saga is undecided.
        """
        known = self._recent.get(saga.record_id)
        if known is not None:
            return known
        async with bounded(READ_SECONDS):
            record = await _own_record(saga)
            cart = await _find(saga.key)
        if record is None:
            raise LookupError(f"saga {saga.saga_id} is undecided")
        return Decision(record, cart, await self.answer(record))

    async def answer(self, record: OperationRecord) -> StoredAnswer | None:
        """The answer of a committed operation; None when it is kept no more."""
        return await self._answers.read(record)

    async def record(self, record_id: str, cart: CartKey | None = None) -> OperationRecord | None:
        """The record with this id, of this cart if it is given, or None."""
        async with bounded(READ_SECONDS):
            where = in_cart(cart) if cart else {}
            return await OperationRecord.find_one({"_id": record_id} | where)

    async def records(self, wanted: Mapping[str, CartKey]) -> dict[str, OperationRecord]:
        """The records with these ids, each with its cart, by id."""
        if not wanted:
            return {}
        each = [{"_id": record_id} | in_cart(cart) for record_id, cart in wanted.items()]
        async with bounded(READ_SECONDS):
            found = await OperationRecord.find({"$or": each}).to_list()
        return {record.id: record for record in found}

    async def latest_commits(self, cart: CartKey, *, limit: int) -> list[OperationRecord]:
        """The latest committed records of a user in a store, the latest first."""
        async with bounded(READ_SECONDS):
            found = OperationRecord.find(in_cart(cart) | {"state": "committed"})
            return await found.sort("-at").to_list(limit)

    async def committed_record(self, operation_id: str, cart: CartKey) -> OperationRecord | None:
        """The record of the saga that committed an operation, or None."""
        async with bounded(READ_SECONDS):
            return await OperationRecord.find_one(_commit_of(operation_id, cart))

    async def latest_record(self, operation_id: str, store_id: str) -> OperationRecord | None:
        """The committed record of an operation in a store, else its latest record, or None."""
        wanted = {"storeId": store_id, "operationId": operation_id}
        async with bounded(READ_SECONDS):
            records = await OperationRecord.find(wanted).sort("-at").to_list(16)
        committed = (record for record in records if record.state == "committed")
        return next(committed, records[0] if records else None)


async def _facts(cart: Cart | None, request: LoadCart) -> CartFacts:
    """What a saga must know of a cart, and of the order if it applies one."""
    key = request.saga.key
    facts = facts_of(cart, cart and cart.id, request.product_id, whole=request.whole)
    if request.guest is not None:
        guest = guest_carts.guest_cart(await _find(request.guest), cart)
        return facts.model_copy(update={"guest": guest and guest.facts})
    if request.order is not None:
        found: dict[str, Any] = {"ordered": await find_ordered(request.order, key, cart)}
    elif request.cancels is not None:
        found = {"cancellation": await find_cancellation(request.cancels, key, cart)}
    elif request.releasing and facts.unheld:
        found = {"releasing": await releasing_of(key)}
    else:
        return facts
    return facts.model_copy(update=found)


def committed_record(
    saga: SagaRun,
    cart_id: str,
    change: CartChange,
    answer: StoredAnswer,
    lines: list[LineChange],
    *,
    grace: timedelta = timedelta(0),
) -> OperationRecord:
    """The record of a change that commits; the saga has `grace` to do its effects itself."""
    return OperationRecord.of(
        saga,
        outcome=Outcome.COMMITTED,
        cart_id=cart_id,
        version=change.version,
        answer=answer,
        reason=change.reason,
        lines=lines,
        short=dict(change.short) if change.short else None,
        frozen=dict(change.frozen) if change.frozen else None,
        effects=change.effects,
        grace=grace,
    )


async def _find(key: CartKey, session: AsyncClientSession | None = None) -> Cart | None:
    return await Cart.find_one(in_cart(key), session=session)


def _commit_of(operation_id: str, cart: CartKey) -> dict[str, Any]:
    return in_cart(cart) | {"operationId": operation_id, "state": "committed"}


async def _own_record(saga: SagaRun) -> OperationRecord | None:
    return await OperationRecord.find_one({"_id": saga.record_id} | in_cart(saga.key))


async def _find_record(
    saga: SagaRun, session: AsyncClientSession | None = None
) -> OperationRecord | None:
    """The saga's own record, else the record that committed its operation."""
    own_one = {"_id": saga.record_id} | in_cart(saga.key)
    wanted: Mapping[str, Any] = {"$or": [own_one, _commit_of(saga.operation_id, saga.key)]}
    records = await OperationRecord.find(wanted, session=session).to_list(2)
    own = (record for record in records if record.id == saga.record_id)
    return next(own, records[0] if records else None)


async def _with_releases(record: OperationRecord, effects: Sequence[AnyEffect]) -> OperationRecord:
    """The record of a saga that never commits, with these effects."""
    ids = {effect.id for effect in record.effects}
    missing = [effect for effect in effects if effect.id not in ids]
    if record.state == "committed" or not missing:
        return record
    due = due_at(record.key, missing, datetime.now(UTC))[EffectKind.RELEASE]
    await OperationRecord.get_pymongo_collection().update_one(
        {"_id": record.id, "effects.id": {"$nin": [effect.id for effect in missing]}}
        | in_cart(record.key),
        {
            "$push": {"effects": {"$each": [one.model_dump(by_alias=True) for one in missing]}},
            "$set": {"pending": True, "due.release": due.model_dump(by_alias=True)},
        },
    )
    return await OperationRecord.find_one({"_id": record.id} | in_cart(record.key)) or record
