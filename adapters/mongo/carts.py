"""MongoDB: carts and the records of operations.

The pivot (`commit`) and its settling (`settle`) live here side by side: whichever writes the run's
record first decides the run. They and the load use the driver on what Beanie has bound: the caller
waits for them, and of what they took the processor a quarter was Beanie's.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from beanie import PydanticObjectId
from pydantic import SecretStr
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from adapters.mongo.client import (
    COMMIT_SECONDS,
    LIST_SECONDS,
    READ_SECONDS,
    SETTLE_SECONDS,
    MongoClient,
    bounded,
    close,
    connect,
)
from adapters.recent import Recent
from models.cart import AvailabilityStatus, Cart, CartContent
from models.changes import Changed, ChangeRefused, apply_change
from models.errors import AlreadyCommitted, RunAlreadyAborted, VersionConflict
from models.messages import AnyEffect, ReleaseEffect, SagaRun
from models.operation import Answer, Operation, shard_key
from models.steps import CommitChange, LoadCart, LoadedCart, Recorded
from models.wire import to_milliseconds
from telemetry import tracing

_RECENT_CARTS = 512


@dataclass(frozen=True, slots=True)
class Pivot:
    """The run's committed record, and what this call has written with it (None: nothing)."""

    record: Operation
    new: Changed | None


class _CartHasMovedOnError(Exception):
    """The cart is not in the version that was read."""


@dataclass(frozen=True, slots=True)
class CartOwner:
    """The store and user of a cart."""

    store_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Owner(CartOwner):
    """These, and the cart while there is one."""

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
        # For the run's pivot; one that is lost is read again.
        self._recent: Recent[str, Cart] = Recent(most=_RECENT_CARTS)

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
        """The facts a saga decides on, in two reads at once."""
        run = request.run
        async with bounded(READ_SECONDS):
            records, cart = await _together(
                self._records(
                    {
                        "$or": [
                            {"_id": run.run_id},
                            {"operationId": run.operation_id, "state": "committed"},
                        ]
                    }
                ),
                self._read_locked(run),
            )
        if cart is not None:
            self._recent.keep(run.run_id, cart)
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
            before = self._recent.pop(run.run_id)
            if request.expected_version is None or not _is_expected(before, request):
                before = await self._read_locked(run)
            if request.expected_version is not None and not _is_expected(before, request):
                return await self._decided(run)
            cart_id = before.id if before else PydanticObjectId()
            try:
                changed = apply_change(request.change, before, cart_id, run, tracing.traceparent())
            except ChangeRefused:
                # Unless it was done before: the same operation again, or this very run.
                if (own := await self._decision(run)) is not None:
                    return Pivot(own, None)
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

            async def pivot(session: AsyncClientSession) -> None:
                # Nothing but the two writes: a transaction left open blocks the cart.
                await Operation.get_pymongo_collection().insert_one(
                    record.model_dump(by_alias=True), session=session
                )
                await _replace(before, changed.cart, cart_id, session)

            try:
                async with self._client.start_session() as session:
                    await session.with_transaction(pivot)
            except (DuplicateKeyError, _CartHasMovedOnError):
                return await self._decided(run)
        return Pivot(record, changed)

    @staticmethod
    async def _records(query: dict[str, Any]) -> list[Operation]:
        found = await Operation.get_pymongo_collection().find(query).to_list()
        return [Operation.model_validate(record) for record in found]

    @staticmethod
    async def _read_locked(run: SagaRun) -> Cart | None:
        # It need not be on a majority: a pivot that is on one takes what it stands on with it, and
        # no other saga writes to the cart meanwhile.
        carts = Cart.get_pymongo_collection().with_options(read_concern=ReadConcern("local"))
        found = await carts.find_one({"userId": run.user_id, "storeId": run.store_id})
        return Cart.model_validate(found) if found else None

    async def _decided(self, run: SagaRun) -> Pivot:
        """Why a pivot could not be written: its run or operation is decided, or the cart moved."""
        own = await self._decision(run)
        if own is None:
            raise VersionConflict(f"{run.store_id}/{run.user_id}")
        return Pivot(own, None)

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


def _is_expected(cart: Cart | None, request: CommitChange) -> bool:
    if cart is None:
        return request.expected_version == 0
    return (cart.version, str(cart.id)) == (request.expected_version, request.expected_cart_id)


async def _replace(
    before: Cart | None,
    after: CartContent | None,
    cart_id: PydanticObjectId,
    session: AsyncClientSession,
) -> None:
    """Writes the cart's next version, if it still has the one before."""
    carts = Cart.get_pymongo_collection()
    document = (
        {"_id": cart_id, **after.model_dump(by_alias=True, exclude={"id"})} if after else None
    )
    if before is None:
        if document is not None:
            await carts.insert_one(document, session=session)
        return
    which = {"_id": before.id, "version": before.version}
    if document is not None:
        hit = (await carts.replace_one(which, document, session=session)).matched_count
    else:
        hit = (await carts.delete_one(which, session=session)).deleted_count
    if not hit:
        raise _CartHasMovedOnError


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
