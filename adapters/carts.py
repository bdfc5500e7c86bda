"""MongoDB: carts and the records of operations, through Beanie.

The pivot (`commit`) and its settling (`settle`) live here side by side: whichever writes the run's
record first decides the run.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pymongo
from beanie import PydanticObjectId, init_beanie
from beanie.exceptions import DocumentNotFound
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import ConnectionFailure, DuplicateKeyError, PyMongoError

from models.cart import Cart
from models.changes import apply_change, cart_json
from models.errors import (
    AlreadyCommitted,
    DependencyTimeout,
    DependencyUnavailable,
    RunAlreadyAborted,
    VersionConflict,
)
from models.messages import (
    CommitChange,
    LoadCart,
    LoadedCart,
    Recorded,
    ReleaseEffect,
    SagaRun,
)
from models.operation import Answer, Operation

DOCUMENTS = (Cart, Operation)

READ_SECONDS = 2.0
COMMIT_SECONDS = 5.0
# A process killed inside a transaction leaves it open on the server for up to
# transactionLifetimeLimitSeconds; an insert of the same record waits for it.
SETTLE_SECONDS = 12.0

_RECENT_CARTS = 512
_PASSING_LABELS = (
    "TransientTransactionError",
    "UnknownTransactionCommitResult",
    "RetryableWriteError",
)


@asynccontextmanager
async def _bounded(seconds: float) -> AsyncIterator[None]:
    """Gives what is inside `seconds` in all, and names MongoDB when it does not answer."""
    try:
        with pymongo.timeout(seconds):
            yield
    except PyMongoError as error:
        if error.timeout:
            raise DependencyTimeout("mongodb", str(error)) from error
        if isinstance(error, ConnectionFailure) or any(
            error.has_error_label(label) for label in _PASSING_LABELS
        ):
            raise DependencyUnavailable("mongodb", str(error)) from error
        raise


class CartStore:
    """Carts and operation records. Raises `DependencyUnavailable` when MongoDB does not answer."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]]) -> None:
        self._client = client
        self._recent: OrderedDict[str, Cart] = OrderedDict()

    @classmethod
    async def connect(cls, uri: SecretStr, *, app_name: str) -> "CartStore":
        """A store on the URI's database (`cart-service` when it names none).

        Succeeds while MongoDB is away; the connections are made when they are needed.
        """
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            uri.get_secret_value(),
            appname=app_name,
            tz_aware=True,
            w="majority",
            readConcernLevel="majority",
            retryWrites=True,
            serverSelectionTimeoutMS=2_000,
            connectTimeoutMS=2_000,
            waitQueueTimeoutMS=2_000,
            maxPoolSize=64,
            minPoolSize=2,
        )
        database = client.get_default_database("cart-service")
        await init_beanie(database=database, document_models=list(DOCUMENTS), skip_indexes=True)
        return cls(client)

    async def close(self) -> None:
        await self._client.close()

    async def ping(self) -> None:
        """Raises unless a primary answers."""
        async with _bounded(READ_SECONDS):
            await self._client.admin.command("ping")

    async def create_indexes(self) -> None:
        """Creates all indexes; those that exist are left alone."""
        async with _bounded(30.0):
            for document in DOCUMENTS:
                indexes = document.Settings.indexes
                await document.get_pymongo_collection().create_indexes(indexes)

    # Reads

    async def cart(self, store_id: str, user_id: str) -> Cart | None:
        """The user's cart in the store."""
        async with _bounded(READ_SECONDS):
            return await Cart.find_one({"userId": user_id, "storeId": store_id})

    async def record(self, run_id: str) -> Operation | None:
        """A run's record, None while it has none."""
        async with _bounded(READ_SECONDS):
            return await Operation.find_one({"_id": run_id})

    async def latest_record(self, operation_id: str) -> Operation | None:
        """The record that tells how an operation ended: the committed one, else the latest."""
        async with _bounded(READ_SECONDS):
            records = await Operation.find({"operationId": operation_id}).sort("-at").to_list(16)
        committed = (record for record in records if record.state == "committed")
        return next(committed, records[0] if records else None)

    async def load(self, request: LoadCart) -> LoadedCart:
        """The facts a saga decides on, in three reads at once."""
        run = request.run
        async with _bounded(READ_SECONDS):
            own, committed, pending, cart = await _together(
                Operation.find_one({"_id": run.run_id}),
                Operation.find_one({"operationId": run.operation_id, "state": "committed"}),
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
        line = cart.line(request.product_id) if cart else None
        return LoadedCart(
            version=cart.version if cart else 0,
            line_count=len(cart.cart_items) if cart else 0,
            line_quantity=line.product_quantity if line else 0,
            pending_events=pending is not None,
            own_record=_recorded(own) if own else None,
            committed_record=_recorded(committed) if committed else None,
        )

    async def committed_cart(self, run: SagaRun) -> Cart | None:
        """The cart as `run` committed it, or a later version of it; None when it is gone."""
        cart = self._recent.pop(run.run_id, None)
        return cart or await self.cart(run.store_id, run.user_id)

    # The pivot

    async def commit(self, request: CommitChange) -> Recorded:
        """Changes the cart and writes the run's record, both or neither.

        Safe to repeat: a run that has committed answers with its record. Raises `VersionConflict`,
        `AlreadyCommitted`, `RunAlreadyAborted`.
        """
        run = request.run
        async with _bounded(COMMIT_SECONDS):
            before = self._recent.pop(run.run_id, None)
            if (before.version if before else 0) != request.expected_version:
                before = await Cart.find_one({"userId": run.user_id, "storeId": run.store_id})
            if (before.version if before else 0) != request.expected_version:
                return await self._decided(run)
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
                return await self._decided(run)
        self._remember(run.run_id, after)
        return _recorded(record)

    async def _decided(self, run: SagaRun) -> Recorded:
        """Why a pivot could not be written: its run or operation is decided, or the cart moved."""
        own = await Operation.find_one({"_id": run.run_id})
        if own is not None:
            if own.state == "aborted":
                raise RunAlreadyAborted(run.run_id)
            return _recorded(own)
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
            at=run.started_at,
        )
        async with _bounded(SETTLE_SECONDS):
            try:
                await record.insert()
            except DuplicateKeyError:
                decided = await Operation.get(run.run_id)
                if decided is None:
                    raise
                return _recorded(decided)
        return _recorded(record)

    async def mark_done(self, run_id: str, effect_ids: tuple[str, ...], at: datetime) -> None:
        """Marks effects as done; the record stops being pending with its last one."""
        done = {
            "$map": {
                "input": "$effects",
                "in": {
                    "$cond": [
                        {"$in": ["$$this.id", list(effect_ids)]},
                        {"$mergeObjects": ["$$this", {"doneAt": at}]},
                        "$$this",
                    ]
                },
            }
        }
        async with _bounded(READ_SECONDS):
            await Operation.get_pymongo_collection().update_one(
                {"_id": run_id},
                [
                    {"$set": {"effects": done}},
                    {"$set": {"pending": {"$in": [None, "$effects.doneAt"]}}},
                ],
            )

    def _remember(self, run_id: str, cart: Cart) -> None:
        """Keeps a cart for the run's next step; a lost one is read again."""
        self._recent[run_id] = cart
        self._recent.move_to_end(run_id)
        while len(self._recent) > _RECENT_CARTS:
            self._recent.popitem(last=False)


def _recorded(record: Operation) -> Recorded:
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
