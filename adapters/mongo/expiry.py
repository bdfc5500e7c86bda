"""MongoDB: clears expired carts, many in one transaction.

Each cart is changed by the operation `ClearCart` and gets a record of its own, as by a saga. But no
run of the cart is open meanwhile, so the cart may be changed at the same time: its transaction and
this one then conflict, and whichever commits first decides.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pymongo import DeleteOne, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern

from adapters.mongo.client import COMMIT_SECONDS, LIST_SECONDS, MongoClient, bounded, in_cart
from adapters.mongo.operations import committed_record
from models.cart import facts_of, line_changes
from models.documents import ENDED_CART, Cart, OperationRecord
from models.errors import VersionConflict
from models.operations import ChangeContext, ClearCart
from models.outcomes import StoredAnswer
from models.saga import SagaRun
from telemetry import tracing


class Expiry(NamedTuple):
    """The clearing of one expired cart, and the saga whose record it writes."""

    saga: SagaRun
    operation: ClearCart


class ExpiredCarts:
    """Clears carts. Raises `DependencyUnavailable` when MongoDB does not answer."""

    def __init__(self, client: MongoClient) -> None:
        self._client = client

    async def clear(self, expiries: Sequence[Expiry]) -> list[OperationRecord]:
        """Deletes the carts that are still there and expired; returns the records of these.

        All in one transaction, with the releases and events left pending in the records. Safe to
        repeat: a cart that is cleared is not found again.
        """
        async with bounded(COMMIT_SECONDS), self._client.start_session() as session:
            return await session.with_transaction(
                lambda session: _clear(expiries, session),
                read_concern=ReadConcern("snapshot"),
                write_concern=WriteConcern("majority"),
            )


async def _clear(expiries: Sequence[Expiry], session: AsyncClientSession) -> list[OperationRecord]:
    keys = [in_cart(expiry.saga.key) for expiry in expiries]
    found = await Cart.find({"$or": keys}, session=session).to_list()
    carts = {cart.key: cart for cart in found}
    cleared: list[tuple[Cart, OperationRecord]] = []
    for saga, operation in expiries:
        cart = carts.get(saga.key)
        if cart is None or operation.check(facts_of(cart, cart.id, None)) is not None:
            continue
        context = ChangeContext(saga, str(cart.id), operation.policy.publish, tracing.traceparent())
        change = operation.apply(cart, context)
        if change is None:  # it has been changed, and expires later
            continue
        answer = StoredAnswer(status=change.status, body=change.body.decode())
        cleared.append(
            (cart, committed_record(saga, str(cart.id), change, answer, line_changes(cart, None)))
        )
    if not cleared:
        return []
    records = [record for _, record in cleared]
    await OperationRecord.insert_many(records, session=session)
    deletes = [
        DeleteOne({"_id": cart.id, "version": cart.version} | in_cart(cart.key))
        for cart, _ in cleared
    ]
    deleted = await Cart.get_pymongo_collection().bulk_write(deletes, session=session)
    if deleted.deleted_count != len(deletes):
        raise VersionConflict("an expired cart has changed in its transaction")
    return records


async def expired_carts(
    *, since: datetime, store_id: str | None, user_id: str | None, limit: int
) -> list[OperationRecord]:
    """The records of carts that expiry has cleared since a time, the latest first."""
    wanted: dict[str, Any] = {"reason": "expired", "at": {"$gte": since}}
    if store_id is not None:
        wanted["storeId"] = store_id
    if user_id is not None:
        wanted["userId"] = user_id
    async with bounded(LIST_SECONDS):
        found = OperationRecord.find({"$and": [ENDED_CART, wanted]})
        return await found.sort("-at").to_list(limit)
