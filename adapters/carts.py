"""MongoDB: carts and the records of operations, through Beanie.

The pivot (`commit`) and its settling (`settle`) live here side by side: whichever writes the run's
record first decides the run.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from beanie import PydanticObjectId
from beanie.exceptions import DocumentNotFound
from pydantic import SecretStr
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from adapters.mongo import (
    COMMIT_SECONDS,
    READ_SECONDS,
    SETTLE_SECONDS,
    MongoClient,
    bounded,
    close,
    connect,
)
from models.cart import Cart
from models.changes import apply_change, cart_json
from models.errors import AlreadyCommitted, RunAlreadyAborted, VersionConflict
from models.messages import (
    CommitChange,
    LoadCart,
    LoadedCart,
    Recorded,
    ReleaseEffect,
    SagaRun,
)
from models.operation import Answer, Operation, shard_key

_RECENT_CARTS = 512


@dataclass(frozen=True, slots=True)
class Pivot:
    """The run's committed record, and the cart if this call is the one that has written it."""

    record: Operation
    cart: Cart | None


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
                Operation.get_pymongo_collection().find_one(
                    {
                        "storeId": run.store_id,
                        "userId": run.user_id,
                        "pending": True,
                        "effects": {"$elemMatch": {"kind": "event", "doneAt": None}},
                    },
                    {"_id": 1},
                ),
                Cart.find_one({"userId": run.user_id, "storeId": run.store_id}),
            )
        if cart is not None:
            self._remember(run.run_id, cart)
        own = next((record for record in records if record.id == run.run_id), None)
        committed = next((record for record in records if record.state == "committed"), None)
        line = cart.line(request.product_id) if cart else None
        return LoadedCart(
            version=cart.version if cart else 0,
            line_count=len(cart.cart_items) if cart else 0,
            line_quantity=line.product_quantity if line else 0,
            pending_events=pending is not None,
            own_record=recorded(own) if own else None,
            committed_record=recorded(committed) if committed else None,
        )

    # The pivot

    async def commit(self, request: CommitChange) -> Pivot:
        """Changes the cart and writes the run's record, both or neither.

        Safe to repeat: a run that has committed answers with its record. Raises `VersionConflict`,
        `AlreadyCommitted`, `RunAlreadyAborted`.
        """
        run = request.run
        async with bounded(COMMIT_SECONDS):
            before = self._recent.pop(run.run_id, None)
            if (before.version if before else 0) != request.expected_version:
                before = await Cart.find_one({"userId": run.user_id, "storeId": run.store_id})
            if (before.version if before else 0) != request.expected_version:
                return Pivot(await self._decided(run), None)
            cart_id = before.id if before else PydanticObjectId()
            changed = apply_change(request.change, before, cart_id, run)
            after = Cart(_id=cart_id, **changed.cart.model_dump(exclude={"id"}))
            record = Operation(
                _id=run.run_id,
                state="committed",
                operation=run.operation,
                operation_id=run.operation_id,
                saga_id=run.saga_id,
                fingerprint=run.fingerprint,
                store_id=run.store_id,
                user_id=run.user_id,
                cart_id=str(cart_id),
                version=after.version,
                answer=Answer(
                    status=changed.status, body=cart_json(cart_id, changed.cart).decode()
                ),
                effects=list(changed.effects),
                pending=bool(changed.effects),
                shard_key=shard_key(run.store_id, run.user_id),
                at=changed.cart.updated_at,
            )

            async def pivot(session: AsyncClientSession) -> None:
                # Nothing but the two writes: a transaction left open blocks the cart.
                await record.insert(session=session)
                if before is None:
                    await after.insert(session=session)
                else:
                    await Cart.find_one(
                        {"_id": cart_id, "version": request.expected_version}
                    ).replace_one(after, session=session)

            try:
                async with self._client.start_session() as session:
                    await session.with_transaction(pivot)
            except (DuplicateKeyError, DocumentNotFound):
                return Pivot(await self._decided(run), None)
        return Pivot(record, after)

    async def _decided(self, run: SagaRun) -> Operation:
        """Why a pivot could not be written: its run or operation is decided, or the cart moved."""
        own = await Operation.find_one({"_id": run.run_id})
        if own is not None:
            if own.state == "aborted":
                raise RunAlreadyAborted(run.run_id)
            return own
        other = await Operation.find_one({"operationId": run.operation_id, "state": "committed"})
        if other is not None:
            raise AlreadyCommitted(other.id, other.fingerprint)
        raise VersionConflict(f"{run.store_id}/{run.user_id}")

    async def settle(
        self, run: SagaRun, reason: str, releases: tuple[ReleaseEffect, ...]
    ) -> Recorded:
        """Records the run as aborted, with the holds to give back, unless it is decided already.

        Afterwards the run's pivot can never commit: its record's id is taken.
        """
        record = Operation(
            _id=run.run_id,
            state="aborted",
            operation=run.operation,
            operation_id=run.operation_id,
            saga_id=run.saga_id,
            fingerprint=run.fingerprint,
            store_id=run.store_id,
            user_id=run.user_id,
            reason=reason,
            effects=list(releases),
            pending=bool(releases),
            shard_key=shard_key(run.store_id, run.user_id),
            at=run.started_at,
        )
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
