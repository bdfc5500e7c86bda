"""Stock and holds in MongoDB: every reserve and release is one short transaction.

`documents.py` describes the documents.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from dev.inventory_service import documents
from dev.inventory_service.documents import Document, product_key, stock_answer
from dev.inventory_service.mongo import Mongo
from dev.inventory_service.schemas import (
    ORDER_CANCELLED,
    ORDER_COMPLETED,
    ProductAnswer,
    ProductRequest,
    ReleaseAnswer,
    ReleaseRequest,
    Reservation,
    ReservationsPage,
    ReservationsQuery,
    ReserveAnswer,
    ReserveRequest,
    StockAnswer,
    TransferRequest,
)

CALL_SECONDS = 2.0  # for one call, with the wait for its lock, the transaction and retries
ALREADY_RELEASED = "This saga has already released the product"
TOO_FEW_HELD = "The user does not hold as many units"
_MAJORITY_LAG_SECONDS = 0.005


class Store(Mongo):
    """The inventory of all stores. Any number of processes can use one database.

    Every method raises `StoreUnavailableError` if MongoDB does not answer in time.
    """

    def __init__(self, uri: str, *, call_seconds: float = CALL_SECONDS) -> None:
        super().__init__(uri, call_seconds=call_seconds)
        self._locks = KeyedLocks()

    async def reserve(self, request: ReserveRequest) -> ReserveAnswer:
        """Moves `quantity` from available to held, all or nothing.

        A repeat of a successful reserve changes nothing and succeeds; after the saga's release it
        is refused. A refusal for lack of stock is not recorded: a repeat is a new attempt.
        """
        product = product_key(request.store_id, request.product_id)
        async with self._turn(product):
            while True:
                try:
                    return await self.transact(partial(self._reserve, request, product))
                except DuplicateKeyError:
                    answer = await self._repeated(request, product)
                if answer is not None:
                    return answer
                # The conflicting document is committed, but not on a majority yet.
                await asyncio.sleep(_MAJORITY_LAG_SECONDS)

    async def transfer(self, request: TransferRequest) -> ReserveAnswer:
        """Moves `quantity` from what a user holds to another user, all or nothing.

        Idempotent like a reserve, and undone like one: the units go back to the first user.
        """
        product = product_key(request.store_id, request.product_id)
        async with self._turn(product):
            while True:
                try:
                    return await self.transact(partial(self._transfer, request, product))
                except DuplicateKeyError:
                    answer = await self._repeated(request, product)
                if answer is not None:
                    return answer
                await asyncio.sleep(_MAJORITY_LAG_SECONDS)

    async def release(self, request: ReleaseRequest) -> ReleaseAnswer:
        """Releases units of a user's holding, never more than the user holds; returns how many.

        If the saga reserved the product, exactly its reserve is undone, regardless of `quantity`; a
        transfer goes back to the user from whom the units came. Units of a cancelled order are
        taken back from those that were sold, not from a holding. Otherwise an undo releases
        nothing, and any other reason releases up to `quantity` of the user's units, whichever sagas
        reserved them. Afterwards the saga can no longer reserve, and a repeat returns the same
        response.
        """
        product = product_key(request.store_id, request.product_id)
        async with self._turn(product):
            released = await self.transact(partial(self._release, request, product))
        return ReleaseAnswer(success=True, released=released)

    async def check(self, store_id: str, product_id: str) -> StockAnswer:
        """The product's units; zeros for an unknown product."""
        async with self.bounded():
            found = await self.stock.find_one({"_id": product_key(store_id, product_id)})
        return stock_answer(found)

    async def set_stock(self, store_id: str, product_id: str, available: int) -> StockAnswer:
        """Sets the available units; held and sold do not change."""
        async with self.bounded():
            found = await self.stock.find_one_and_update(
                {"_id": product_key(store_id, product_id)},
                {"$set": {"available": available}, "$setOnInsert": {"held": 0, "sold": 0}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        return stock_answer(found)

    async def product(self, store_id: str, product_id: str) -> ProductAnswer | None:
        """What the product is called and costs; None for one that was never set."""
        async with self.bounded():
            found = await self.products.find_one(
                {"_id": product_key(store_id, product_id)}, {"_id": 0}
            )
        return ProductAnswer(product_id=product_id, **found) if found else None

    async def set_product(
        self, store_id: str, product_id: str, product: ProductRequest
    ) -> ProductAnswer:
        """Sets what the product is called and costs."""
        stored = product.model_dump(exclude_none=True) | {"price": str(product.price)}
        async with self.bounded():
            await self.products.replace_one(
                {"_id": product_key(store_id, product_id)}, stored, upsert=True
            )
        return ProductAnswer(product_id=product_id, **stored)

    async def reservations(self, query: ReservationsQuery) -> ReservationsPage:
        """A page of the units held, ordered by user and product."""
        async with self.bounded():
            actions = self.actions.find(
                documents.reservations_filter(query),
                documents.HOLDING_FIELDS,
                sort=documents.HOLDING_ORDER,
                batch_size=query.limit + 1,
            )
            rows: list[Reservation] = []
            async with actions, aclosing(documents.held_rows(actions)) as held:
                async for row in held:
                    rows.append(row)
                    if len(rows) > query.limit:
                        break
        last = rows[query.limit - 1] if len(rows) > query.limit else None
        cursor = f"{last.user_id}~{last.product_id}" if last else None
        return ReservationsPage(reservations=rows[: query.limit], cursor=cursor)

    async def end_reserves(self, *, limit: int) -> int:
        """Ends reserves whose time to live is over; returns how many."""
        async with self.bounded():
            ended = await self.actions.find(
                {"endsAt": {"$lte": datetime.now(UTC)}}, sort=[("endsAt", 1)], limit=limit
            ).to_list()
        for action in ended:
            product = product_key(action["storeId"], action["productId"])
            async with self._turn(product):
                await self.transact(partial(self._end, action["_id"], product))
        return len(ended)

    @asynccontextmanager
    async def _turn(self, product: str) -> AsyncIterator[None]:
        """Locks a product within this process; the time limit includes the wait."""
        async with self.bounded(), self._locks.hold(product, self._seconds):
            yield

    async def _reserve(
        self, request: ReserveRequest, product: str, session: AsyncClientSession
    ) -> ReserveAnswer:
        """Runs in a transaction; a reserve takes three round trips with the commit."""
        action = documents.new_reservation(request, product)
        await self.actions.insert_one(action, session=session)
        stock = await self.stock.find_one_and_update(
            {"_id": product, "available": {"$gte": request.quantity}},
            {"$inc": {"available": -request.quantity, "held": request.quantity}},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if stock is None:
            stock = await self.stock.find_one({"_id": product}, session=session)
            await session.abort_transaction()
            return ReserveAnswer(success=False, available=stock_answer(stock).available)
        return ReserveAnswer(
            success=True, reservation_id=action["reservationId"], available=stock["available"]
        )

    async def _transfer(
        self, request: TransferRequest, product: str, session: AsyncClientSession
    ) -> ReserveAnswer:
        """Runs in a transaction. It also writes the stock document, which puts all actions on the
        product in order."""
        came, went = documents.new_transfer(request, product)
        await self.actions.insert_one(came, session=session)
        held = await self._held(request.store_id, request.from_user_id, request.product_id, session)
        stock = await self.stock.find_one_and_update(
            {"_id": product},
            {"$inc": {"transfers": 1}},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        available = stock_answer(stock).available
        if held < request.quantity:
            await session.abort_transaction()
            return ReserveAnswer(success=False, available=available, message=TOO_FEW_HELD)
        await self.actions.insert_one(went, session=session)
        return ReserveAnswer(
            success=True, reservation_id=came["reservationId"], available=available
        )

    async def _repeated(
        self, request: ReserveRequest | TransferRequest, product: str
    ) -> ReserveAnswer | None:
        """The response to a repeated reserve; None if the first is not on a majority yet."""
        action, stock = await asyncio.gather(
            self.actions.find_one({"_id": f"{product}/{request.saga_id}"}),
            self.stock.find_one({"_id": product}),
        )
        if action is None:
            return None
        available = stock_answer(stock).available
        if action["state"] == "released":
            return ReserveAnswer(success=False, available=available, message=ALREADY_RELEASED)
        return ReserveAnswer(
            success=True, available=available, reservation_id=action["reservationId"]
        )

    async def _release(
        self, request: ReleaseRequest, product: str, session: AsyncClientSession
    ) -> int:
        """Runs in a transaction; a release takes up to five round trips with the commit."""
        key = {"_id": f"{product}/{request.saga_id}"}
        action = await self.actions.find_one(key, session=session)
        if action is not None and action["state"] == "released":
            return int(action["released"])
        if request.reason == ORDER_CANCELLED and action is None:
            return await self._take_back(request, product, session)
        # An undo releases units of the user of the reserve, whatever the request names.
        user_id = action["userId"] if action else request.user_id
        held = await self._held(request.store_id, user_id, request.product_id, session)
        released = documents.to_release(request, action, held)
        outcome: Document = {
            "state": "released",
            "released": released,
            "delta": (action["quantity"] if action else 0) - released,
            "reason": request.reason,
            "orderId": request.order_id,
            "releasedAt": datetime.now(UTC),
        }
        if action is not None:
            ended = {"$set": outcome, "$unset": {"endsAt": ""}}
            await self.actions.update_one(key, ended, session=session)
        else:
            await self.actions.insert_one(
                documents.new_action(request, product) | {"quantity": 0} | outcome, session=session
            )
        if released and action is not None and "from" in action:
            await self.actions.update_one(
                {"_id": action["from"]}, {"$inc": {"delta": released}}, session=session
            )
            await self.stock.update_one(
                {"_id": product}, {"$inc": {"transfers": 1}}, session=session
            )
        elif released:
            to = "sold" if request.reason == ORDER_COMPLETED else "available"
            await self.stock.update_one(
                {"_id": product}, {"$inc": {"held": -released, to: released}}, session=session
            )
        return released

    async def _take_back(
        self, request: ReleaseRequest, product: str, session: AsyncClientSession
    ) -> int:
        """Makes units available again that were sold with an order, at most as many."""
        stock = await self.stock.find_one({"_id": product}, session=session)
        taken = min(request.quantity, stock_answer(stock).sold)
        outcome = {
            "state": "released",
            "quantity": 0,
            "released": taken,
            "delta": 0,
            "reason": request.reason,
            "orderId": request.order_id,
            "releasedAt": datetime.now(UTC),
        }
        await self.actions.insert_one(
            documents.new_action(request, product) | outcome, session=session
        )
        if taken:
            units = {"$inc": {"sold": -taken, "available": taken}}
            await self.stock.update_one({"_id": product}, units, session=session)
        return taken

    async def _end(self, action_id: str, product: str, session: AsyncClientSession) -> None:
        """Runs in a transaction: frees what is still held of one reserve."""
        action = await self.actions.find_one({"_id": action_id}, session=session)
        if action is None or "endsAt" not in action:  # released meanwhile
            return
        user = (action["storeId"], action["userId"], action["productId"])
        held = await self._held(*user, session)
        rows = await self.actions.aggregate(documents.later_reserves(action), session=session)
        later = sum([row["reserved"] async for row in rows])
        freed = max(0, min(action["quantity"], held - later))
        outcome = {
            "state": "released",
            "released": freed,
            "delta": action["quantity"] - freed,
            "reason": "ttl",
            "releasedAt": datetime.now(UTC),
        }
        ended = {"$set": outcome, "$unset": {"endsAt": ""}}
        await self.actions.update_one({"_id": action_id}, ended, session=session)
        if freed:
            units = {"$inc": {"held": -freed, "available": freed}}
            await self.stock.update_one({"_id": product}, units, session=session)

    async def _held(
        self, store_id: str, user_id: str, product_id: str, session: AsyncClientSession
    ) -> int:
        """The units of a product that a user holds."""
        pipeline = documents.holding_pipeline(store_id, user_id, product_id)
        rows = await self.actions.aggregate(pipeline, session=session)
        return sum([row["held"] async for row in rows])


@dataclass(slots=True)
class _Entry:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class KeyedLocks:
    """One lock for each key, kept only while it is held or waited for.

    An optimization: it avoids write conflicts between requests of this process on one product. The
    transactions guarantee correct numbers.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @asynccontextmanager
    async def hold(self, key: str, seconds: float) -> AsyncIterator[None]:
        """Holds the lock of `key`; raises `TimeoutError` after waiting for `seconds`."""
        entry = self._entries.setdefault(key, _Entry())
        entry.users += 1
        try:
            async with asyncio.timeout(seconds):
                await entry.lock.acquire()
            try:
                yield
            finally:
                entry.lock.release()
        finally:
            entry.users -= 1
            if not entry.users:
                del self._entries[key]
