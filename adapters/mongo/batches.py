"""MongoDB: changes many carts in one transaction, as schedules do.

Each cart is changed by an operation and gets a record of its own, as by a saga. But no run of the
cart is open meanwhile, so the cart may be changed at the same time: its transaction and this one
then conflict, and whichever commits first decides.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pymongo import DeleteOne, ReplaceOne, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.read_concern import ReadConcern

from adapters.mongo.cart_writes import cart_document
from adapters.mongo.client import (
    COMMIT_SECONDS,
    LIST_SECONDS,
    MongoClient,
    bounded,
    in_cart,
    in_carts,
    insert_all,
    stored_form,
)
from adapters.mongo.operations import committed_record
from models.cart import line_changes
from models.cart_facts import facts_of
from models.documents import ENDED_CART, Cart, OperationRecord
from models.errors import VersionConflict
from models.operations import CartOperation, ChangeContext
from models.outcomes import StoredAnswer
from models.saga import SagaRun
from telemetry import tracing


class ScheduledChange(NamedTuple):
    """The change of a cart that is due, and the saga whose record it writes.

    `at` is the time of the change, if it is not that of the saga.
    """

    saga: SagaRun
    operation: CartOperation
    at: datetime | None = None


class CartBatches:
    """Changes carts. Raises `DependencyUnavailable` when MongoDB does not answer."""

    def __init__(self, client: MongoClient) -> None:
        self._client = client

    async def change(self, changes: Sequence[ScheduledChange]) -> list[OperationRecord]:
        """Changes the carts that are still there and due; returns the records of these.

        All in one transaction, with the releases and events left pending in the records. Safe to
        repeat: a cart that was changed is not due again.
        """
        async with bounded(COMMIT_SECONDS), self._client.start_session() as session:
            return await session.with_transaction(
                lambda session: _change(changes, session),
                read_concern=ReadConcern("snapshot"),
                write_concern=WriteConcern("majority"),
            )


async def _change(
    changes: Sequence[ScheduledChange], session: AsyncClientSession
) -> list[OperationRecord]:
    wanted = in_carts(change.saga.key for change in changes)
    found = await Cart.find(wanted, session=session).to_list()
    carts = {cart.key: cart for cart in found}
    records: list[OperationRecord] = []
    writes: list[DeleteOne | ReplaceOne[dict[str, Any]]] = []
    for saga, operation, at in changes:
        cart = carts.get(saga.key)
        if cart is None or operation.check(facts_of(cart, cart.id, None)) is not None:
            continue
        if cart.is_blocked(saga.record_id, datetime.now(UTC)):  # a merge is about to end it
            continue
        context = ChangeContext(
            saga, str(cart.id), operation.policy.publish, tracing.traceparent(), at=at
        )
        change = operation.apply(cart, context)
        if change is None:  # it has been changed, and is due later
            continue
        answer = StoredAnswer(status=change.status, body=change.body.decode())
        lines = line_changes(cart, change.cart)
        records.append(committed_record(saga, str(cart.id), change, answer, lines))
        stored = {"_id": cart.id, "version": cart.version} | in_cart(cart.key)
        after = cart_document(cart.id, change.cart)
        writes.append(
            DeleteOne(stored) if after is None else ReplaceOne(stored, stored_form(after))
        )
    if not records:
        return []
    await insert_all(records, session)
    written = await Cart.get_pymongo_collection().bulk_write(writes, session=session)
    if written.deleted_count + written.modified_count != len(writes):
        raise VersionConflict("a cart that is due has changed in its transaction")
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
