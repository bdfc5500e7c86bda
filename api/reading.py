"""Carts on their way to readers: from MongoDB, into the cache, out to the client."""

import logging

from api.state import ApiState
from models.cart import Cart
from models.changes import cart_json
from models.errors import DependencyUnavailable
from models.operation import Operation

logger = logging.getLogger(__name__)


async def cached_cart(state: ApiState, store_id: str, user_id: str) -> bytes | None:
    """The user's cart as the cache has it, None when it has none or is away."""
    if not state.policy.cache:
        return None
    try:
        return await state.cache.get(store_id, user_id)
    except DependencyUnavailable as error:  # the breaker warns, once
        logger.debug("Cart is read without the cache: %s", error)
        return None


async def stored_cart(state: ApiState, store_id: str, user_id: str) -> Cart | None:
    """The user's cart as MongoDB has it, and from now on the cache."""
    cart = await state.carts.cart(store_id, user_id)
    if cart is not None and state.policy.cache:
        try:
            await state.cache.put(
                store_id,
                user_id,
                created_at=cart.created_at,
                version=cart.version,
                body=cart_json(cart.id, cart),
            )
        except DependencyUnavailable as error:
            logger.debug("Cart was not cached: %s", error)
    return cart


async def show_committed(state: ApiState, record: Operation) -> None:
    """Sees to it that who is now told a committed answer reads no older cart.

    The saga may not have come to show the cart: its worker died between the commit and that.
    """
    cart = await stored_cart(state, record.store_id, record.user_id)
    if cart is None and state.policy.cache:
        try:
            await state.cache.drop(record.store_id, record.user_id, at=record.at)
        except DependencyUnavailable as error:
            logger.debug("Cart was not dropped from the cache: %s", error)
