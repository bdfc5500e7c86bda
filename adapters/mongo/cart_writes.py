"""MongoDB: writes the cart of a change, in the transaction of its record."""

from bson import ObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from adapters.mongo.client import in_cart
from models.cart import CartContent
from models.documents import Cart


def cart_document(cart_id: ObjectId, cart: CartContent | None) -> Cart | None:
    """The document of a cart after a change; None when it is deleted."""
    if cart is None or isinstance(cart, Cart):
        return cart
    return Cart(_id=cart_id, **dict(cart))


async def replace_cart(
    before: Cart | None, after: Cart | None, session: AsyncClientSession
) -> None:
    """Replaces the version that was read with the next one, or deletes the cart.

    Does nothing for a change that leaves the cart as it is.

    Each write names the session: Beanie's `delete` does not take it from its query, and would be
    done outside the transaction.
    """
    if before is after:
        return
    if before is None:
        assert after is not None  # noqa: S101 (not both are None)
        await after.insert(session=session)
        return
    stored = Cart.find_one({"_id": before.id, "version": before.version} | in_cart(before.key))
    if after is None:
        await stored.delete(session=session)
    else:
        await stored.replace_one(after, session=session)
