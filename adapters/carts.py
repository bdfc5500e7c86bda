"""MongoDB: carts and the records of operations, through Beanie.

The pivot (`commit`) and its settling (`settle`) live here side by side: whichever writes the run's
record first decides the run.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from beanie import PydanticObjectId
from beanie.exceptions import DocumentNotFound
from pydantic import SecretStr
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from adapters.mongo import (
    COMMIT_SECONDS,
    LIST_SECONDS,
    READ_SECONDS,
    SETTLE_SECONDS,
    MongoClient,
    bounded,
    close,
    connect,
)
from models.cart import AvailabilityStatus, Cart
from models.changes import ChangeRefused, apply_change
from models.errors import AlreadyCommitted, RunAlreadyAborted, VersionConflict
from models.messages import (
    AnyEffect,
    CommitChange,
    LoadCart,
    LoadedCart,
    Recorded,
    ReleaseEffect,
    SagaRun,
)
from models.operation import Answer, Operation, shard_key
from models.wire import to_milliseconds

_RECENT_CARTS = 512


@dataclass(frozen=True, slots=True)
class Pivot:
    """The run's committed record; `is_new` when this call has written it, and `cart` with it.

    A new record without a cart is of a cart that was deleted.
    """

    record: Operation
    cart: Cart | None
    is_new: bool
    pending_events: bool


@dataclass(frozen=True, slots=True)
class Owner:
    """The store and user of a cart, and the cart while there is one."""

    store_id: str
    user_id: str
    cart: Cart | None


@dataclass(frozen=True, slots=True)
class CartFilter:
    """Which carts of a store; None means any."""

    user_id: str | None = None
    product_id: str | None = None
    availability: AvailabilityStatus | None = None
    updated_from: datetime | None = None
    updated_to: datetime | None = None

    def query(self, store_id: str) -> dict[str, Any]:
        """The filter as MongoDB reads it. Product and availability must hold for the same line."""
        line = {
            name: value
            for name, value in (
                ("productId", self.product_id),
                ("availabilityStatus", self.availability),
            )
            if value is not None
        }
        updated = {
            name: value
            for name, value in (("$gte", self.updated_from), ("$lt", self.updated_to))
            if value is not None
        }
        query: dict[str, Any] = {"storeId": store_id}
        if self.user_id is not None:
            query["userId"] = self.user_id
        if line:
            query["cartItems"] = {"$elemMatch": line}
        if updated:
            query["updatedAt"] = updated
        return query


class CartStore:
    """Carts and operation records. Raises `DependencyUnavailable` when MongoDB does not answer."""

    def __init__(self, client: MongoClient) -> None:
        self._client = client
        self._recent: OrderedDict[str, Cart] = OrderedDict()

    @classmethod
    async def connect(cls, uri: SecretStr, *, app_name: str) -> "CartStore":
        """A store on the URI's database; succeeds while MongoDB is away."""
        return cls(await connect(uri, app_name=app_name))

    async def close(self) -> None:
        await close(self._client)

    async def ping(self) -> None:
        """Raises unless a primary answers."""
        async with bounded(READ_SECONDS):
            await self._client.admin.command("ping")

    # Reads

    async def cart(self, store_id: str, user_id: str) -> Cart | None:
        """The user's cart in the store."""
        async with bounded(READ_SECONDS):
            return await self._read(store_id, user_id)

    async def cart_by_id(self, cart_id: str) -> Cart | None:
        """A cart by its own id, 24 hexadecimal digits."""
        async with bounded(READ_SECONDS):
            return await Cart.find_one({"_id": PydanticObjectId(cart_id)})

    async def owner(self, cart_id: str) -> Owner | None:
        """Whose cart this is, or was; None for an id that never was a cart's."""
        cart = await self.cart_by_id(cart_id)
        if cart is not None:
            return Owner(cart.store_id, cart.user_id, cart)
        async with bounded(READ_SECONDS):
            record = await Operation.find_one({"cartId": cart_id})
        return Owner(record.store_id, record.user_id, None) if record else None

    async def store_carts(
        self, store_id: str, where: CartFilter, *, page: int, limit: int
    ) -> tuple[list[Cart], int]:
        """A page (from 1) of a store's carts, the newest first, and how many there are in all."""
        query = where.query(store_id)
        found = Cart.find(query)
        if where.user_id is None:  # else there is one at most, and nothing to sort
            found = found.sort("-createdAt", "-_id")
        async with bounded(LIST_SECONDS):
            carts, total = await _together(
                found.skip((page - 1) * limit).limit(limit).to_list(),
                Cart.find(query).count(),
            )
        return carts, total

    @staticmethod
    async def _read(store_id: str, user_id: str) -> Cart | None:
        return await Cart.find_one({"userId": user_id, "storeId": store_id})

    async def record(self, run_id: str) -> Operation | None:
        """A run's record, None while it has none."""
        async with bounded(READ_SECONDS):
            return await Operation.find_one({"_id": run_id})

    async def committed_record(self, operation_id: str) -> Operation | None:
        """The record of the run that committed an operation."""
        async with bounded(READ_SECONDS):
            return await Operation.find_one({"operationId": operation_id, "state": "committed"})

    async def latest_record(self, operation_id: str) -> Operation | None:
        """The record that tells how an operation ended: the committed one, else the latest."""
        async with bounded(READ_SECONDS):
            records = await Operation.find({"operationId": operation_id}).sort("-at").to_list(16)
        committed = (record for record in records if record.state == "committed")
        return next(committed, records[0] if records else None)

    async def load(self, request: LoadCart) -> LoadedCart:
        """The facts a saga decides on, in three reads at once."""
        run = request.run
        async with bounded(READ_SECONDS):
            records, pending, cart = await _together(
                Operation.find(
                    {
                        "$or": [
                            {"_id": run.run_id},
                            {"operationId": run.operation_id, "state": "committed"},
                        ]
                    }
                ).to_list(),
                self._has_pending_events(run),
                self._read(run.store_id, run.user_id),
            )
        if cart is not None:
            self._remember(run.run_id, cart)
        own = next((record for record in records if record.id == run.run_id), None)
        committed = next((record for record in records if record.state == "committed"), None)
        line = cart.line(request.product_id) if cart and request.product_id else None
        return LoadedCart(
            version=cart.version if cart else 0,
            cart_id=str(cart.id) if cart else None,
            line_count=len(cart.cart_items) if cart else 0,
            line_quantity=line.product_quantity if line else 0,
            line_price=line.product_price if line else Decimal(0),
            quantity=cart.quantity if cart else 0,
            total_price=cart.total_price if cart else Decimal(0),
            pending_events=pending,
            own_record=recorded(own) if own else None,
            committed_record=recorded(committed) if committed else None,
        )

    # The pivot

    async def commit(self, request: CommitChange) -> Pivot:
        """Changes the cart and writes the run's record, both or neither.

        Safe to repeat: a run that has committed answers with its record. Raises `ChangeRefused`,
        `VersionConflict`, `AlreadyCommitted`, `RunAlreadyAborted`.
        """
        run = request.run
        async with bounded(COMMIT_SECONDS):
            before = self._recent.pop(run.run_id, None)
            pending = False
            if request.expected_version is None or not _is_expected(before, request):
                pending, before = await _together(
                    self._has_pending_events(run), self._read(run.store_id, run.user_id)
                )
            if request.expected_version is not None and not _is_expected(before, request):
                return await self._decided(run, pending)
            cart_id = before.id if before else PydanticObjectId()
            try:
                changed = apply_change(request.change, before, cart_id, run)
            except ChangeRefused:
                # Unless it was done before: the same operation again, or this very run.
                if (own := await self._decision(run)) is not None:
                    return Pivot(own, None, is_new=False, pending_events=pending)
                raise
            record = _record(
                run,
                state="committed",
                cart_id=str(cart_id),
                version=changed.version,
                answer=Answer(status=changed.status, body=changed.body.decode()),
                effects=list(changed.effects),
                reason=changed.reason,
                moved=changed.moved,
            )
            after = (
                Cart(_id=cart_id, **changed.cart.model_dump(exclude={"id"}))
                if changed.cart
                else None
            )

            async def pivot(session: AsyncClientSession) -> None:
                # Nothing but the two writes: a transaction left open blocks the cart.
                await record.insert(session=session)
                await _replace(before, after, session)

            try:
                async with self._client.start_session() as session:
                    await session.with_transaction(pivot)
            except (DuplicateKeyError, DocumentNotFound):
                return await self._decided(run, pending)
        return Pivot(record, after, is_new=True, pending_events=pending)

    async def _decided(self, run: SagaRun, pending_events: bool) -> Pivot:
        """Why a pivot could not be written: its run or operation is decided, or the cart moved."""
        own = await self._decision(run)
        if own is None:
            raise VersionConflict(f"{run.store_id}/{run.user_id}")
        return Pivot(own, None, is_new=False, pending_events=pending_events)

    async def _decision(self, run: SagaRun) -> Operation | None:
        """The run's committed record, if it has one; raises what else may have been decided."""
        own = await Operation.find_one({"_id": run.run_id})
        if own is not None:
            if own.state == "aborted":
                raise RunAlreadyAborted(run.run_id)
            return own
        other = await Operation.find_one({"operationId": run.operation_id, "state": "committed"})
        if other is not None:
            raise AlreadyCommitted(other.id, other.fingerprint)
        return None

    @staticmethod
    async def _has_pending_events(run: SagaRun) -> bool:
        """Whether an earlier operation on the cart has left events to its relay."""
        found = await Operation.get_pymongo_collection().find_one(
            {
                "storeId": run.store_id,
                "userId": run.user_id,
                "_id": {"$ne": run.run_id},
                "pending": True,
                "effects": {"$elemMatch": {"kind": "event", "doneAt": None}},
            },
            {"_id": 1},
        )
        return found is not None

    async def settle(
        self, run: SagaRun, reason: str, releases: tuple[ReleaseEffect, ...]
    ) -> Recorded:
        """Records the run as aborted, with the holds to give back, unless it is decided already.

        Afterwards the run's pivot can never commit: its record's id is taken.
        """
        record = _record(run, state="aborted", reason=reason, effects=list(releases))
        async with bounded(SETTLE_SECONDS):
            try:
                await record.insert()
            except DuplicateKeyError:
                decided = await Operation.get(run.run_id)
                if decided is None:
                    raise
                return recorded(decided)
        return recorded(record)

    def _remember(self, run_id: str, cart: Cart) -> None:
        """Keeps a cart for the run's pivot; a lost one is read again."""
        self._recent[run_id] = cart
        self._recent.move_to_end(run_id)
        while len(self._recent) > _RECENT_CARTS:
            self._recent.popitem(last=False)


def _is_expected(cart: Cart | None, request: CommitChange) -> bool:
    if cart is None:
        return request.expected_version == 0
    return (cart.version, str(cart.id)) == (request.expected_version, request.expected_cart_id)


async def _replace(before: Cart | None, after: Cart | None, session: AsyncClientSession) -> None:
    """Writes the cart's next version, if it still has the one before."""
    if before is None:
        if after is not None:
            await after.insert(session=session)
        return
    which = Cart.find_one({"_id": before.id, "version": before.version}, session=session)
    if after is not None:
        await which.replace_one(after, session=session)
        return
    deleted = await which.delete_one(session=session)
    if deleted is None or deleted.deleted_count == 0:
        raise DocumentNotFound


def _record(
    run: SagaRun, *, state: Literal["committed", "aborted"], effects: list[AnyEffect], **more: Any
) -> Operation:
    return Operation(
        _id=run.run_id,
        state=state,
        operation=run.operation,
        operation_id=run.operation_id,
        saga_id=run.saga_id,
        fingerprint=run.fingerprint,
        store_id=run.store_id,
        user_id=run.user_id,
        shard_key=shard_key(run.store_id, run.user_id),
        effects=effects,
        pending=bool(effects),
        at=to_milliseconds(run.started_at),
        **more,
    )


def recorded(record: Operation) -> Recorded:
    """A record as far as a saga must know it."""
    return Recorded(
        run_id=record.id,
        state=record.state,
        fingerprint=record.fingerprint,
        reason=record.reason,
        cart_id=record.cart_id,
        version=record.version,
        effects=tuple(record.effects),
    )


async def _together(*reads: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*(_task(read) for read in reads))


async def _task(read: Awaitable[Any]) -> Any:
    return await read
