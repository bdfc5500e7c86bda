"""MongoDB: stores carts that were brought from another service, each with its record.

The record has the operation id of the import, which depends on the original cart alone. So a cart
is imported once, also after its user has cleared it.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from bson import ObjectId
from pymongo import WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError

from adapters.mongo.client import (
    COMMIT_SECONDS,
    READ_SECONDS,
    MongoClient,
    bounded,
    in_carts,
    insert_all,
)
from models.cart import CartContent, CartKey, line_changes
from models.documents import Cart, OperationRecord
from models.outcomes import Outcome
from models.saga import SagaRun


class Import(NamedTuple):
    """A cart to store, and the saga of its record."""

    saga: SagaRun
    cart_id: ObjectId
    cart: CartContent


class ImportedCarts:
    """Stores imported carts. Raises `DependencyUnavailable` when MongoDB does not answer."""

    def __init__(self, client: MongoClient) -> None:
        self._client = client

    async def imported(self, operations: Collection[tuple[CartKey, str]]) -> set[str]:
        """Which of these operation ids have been committed."""
        if not operations:
            return set()
        wanted = in_carts(key for key, _ in operations) | {
            "operationId": {"$in": [one for _, one in operations]},
            "state": "committed",
        }
        async with bounded(READ_SECONDS):
            found = OperationRecord.get_pymongo_collection().find(wanted, {"operationId": 1})
            return {record["operationId"] async for record in found}

    async def carts(self, keys: Collection[CartKey]) -> dict[CartKey, Cart]:
        """The carts that these users have here."""
        if not keys:
            return {}
        async with bounded(READ_SECONDS):
            return {cart.key: cart for cart in await Cart.find(in_carts(keys)).to_list()}

    async def store(self, imports: Sequence[Import]) -> bool:
        """Stores all carts with their records, or none: False where one of them exists already."""
        try:
            async with bounded(COMMIT_SECONDS), self._client.start_session() as session:
                await session.with_transaction(
                    lambda session: _insert(imports, session),
                    write_concern=WriteConcern("majority"),
                )
        except DuplicateKeyError:
            return False
        return True


async def _insert(imports: Sequence[Import], session: AsyncClientSession) -> None:
    carts = [Cart(_id=one.cart_id, **dict(one.cart)) for one in imports]
    records = [
        OperationRecord.of(
            one.saga,
            outcome=Outcome.COMMITTED,
            cart_id=str(one.cart_id),
            version=one.cart.version,
            lines=line_changes(None, one.cart),
        )
        for one in imports
    ]
    await insert_all(records, session)
    await insert_all(carts, session)
