"""MongoDB: guests' carts that are merged into others: their claims, and the records of their ends.

A saga holds the lock of one cart, the user's. While it moves the guest's units, no other saga may
change the guest's cart, whose lock it does not hold: it would release units that are not the
guest's any more. So the saga claims the guest's cart, in the version that it has read. A claim is a
field of the cart, which every pivot reads in its transaction. It ends by itself, in case its saga
ends without an undo.
"""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from beanie import PydanticObjectId

from adapters.mongo.client import READ_SECONDS, bounded, in_cart
from models.cart import line_changes
from models.cart_facts import guest_facts
from models.documents import Cart, CartClaim, OperationRecord
from models.errors import VersionConflict
from models.operations.base import EndedCart, GuestCart
from models.outcomes import Outcome, StoredAnswer
from models.steps import ClaimCart, UnclaimCart

CLAIM_SECONDS = 60.0
"""Longer than a saga takes to its pivot or its undo (`LOCK_TTL`) while all servers answer."""


async def claim(request: ClaimCart) -> None:
    """Claims a cart in the version that the saga has read. Safe to repeat.

    Raises `VersionConflict` when it has changed, or is claimed by another saga.
    """
    now, by = datetime.now(UTC), request.saga.record_id
    claimed = CartClaim(by=by, until=now + timedelta(seconds=CLAIM_SECONDS))
    in_version = {"_id": PydanticObjectId(request.cart_id), "version": request.version}
    free = {"$or": [{"claim": None}, {"claim.by": by}, {"claim.until": {"$lte": now}}]}
    async with bounded(READ_SECONDS):
        found = await Cart.get_pymongo_collection().update_one(
            in_version | in_cart(request.guest) | free,
            {"$set": {"claim": claimed.model_dump(by_alias=True)}},
        )
    if not found.matched_count:
        raise VersionConflict("/".join(request.guest))


async def unclaim(request: UnclaimCart) -> None:
    """Gives the saga's claim up, if it has one."""
    own = in_cart(request.guest) | {"claim.by": request.saga.record_id}
    async with bounded(READ_SECONDS):
        await Cart.get_pymongo_collection().update_one(own, {"$set": {"claim": None}})


def guest_cart(cart: Cart | None, into: Cart | None) -> GuestCart | None:
    """A guest's cart with what its merge must know."""
    return GuestCart(str(cart.id), cart, guest_facts(cart.id, cart, into)) if cart else None


def ended_record(ended: EndedCart, cart: Cart) -> OperationRecord:
    """The record of a cart that ends with the change of another. Relays do its effects at once."""
    return OperationRecord.of(
        ended.saga,
        outcome=Outcome.COMMITTED,
        cart_id=str(cart.id),
        version=cart.version + 1,
        answer=StoredAnswer(status=HTTPStatus.OK, body='{"message":"Cart merged"}'),
        reason=ended.reason,
        lines=line_changes(cart, None),
        effects=ended.effects,
    )
