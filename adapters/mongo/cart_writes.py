"""MongoDB: writes the cart of a change, in the transaction of its record."""

from beanie import PydanticObjectId
from pymongo.asynchronous.client_session import AsyncClientSession

from adapters.mongo.client import in_cart
from models.documents import Cart
from models.operations import CartChange


def cart_document(cart_id: PydanticObjectId, change: CartChange) -> Cart | None:
    """The document of the cart after a change; None when it is deleted."""
    if change.cart is None or isinstance(change.cart, Cart):
        return change.cart
    return Cart(_id=cart_id, **dict(change.cart))


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
