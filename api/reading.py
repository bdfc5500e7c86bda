"""Carts on their way to readers: from MongoDB, into the cache, out to the client."""

import logging
from functools import partial
from http import HTTPStatus

from api.entity_tags import cart_answer, etag_headers
from api.errors import Answer, not_found
from api.state import ApiState
from models.cart import Cart
from models.changes import cart_json
from models.errors import DependencyUnavailable
from models.operation import Operation
from telemetry.metrics import CACHE_HITS, CACHE_MISSES

logger = logging.getLogger(__name__)


async def own_cart(state: ApiState, store_id: str, user_id: str) -> Answer:
    """The user's cart as it is shown, from the cache if it is there; raises 404 without one."""
    if not state.policy.cache:
        return _found(await state.carts.cart(store_id, user_id))
    about = {"storeId": store_id, "userId": user_id}
    try:
        cached = await state.cache.get(store_id, user_id)
    except DependencyUnavailable as error:  # the breaker warns, once
        logger.debug("Cart is read without the cache: %s", error)
        cart = await stored_cart(state, store_id, user_id)
    else:
        (CACHE_MISSES if cached.body is None else CACHE_HITS).add(1)
        if cached.body is not None:
            logger.debug("Cart found in the cache", extra={"event": "cache_hit", **about})
            answer = Answer(HTTPStatus.OK, cached.body, etag_headers(cached.body))
            return await state.availability.shown(store_id, answer)
        logger.debug("Cart not found in the cache", extra={"event": "cache_miss", **about})
        # By the epoch too: who has just cleared the cart shares no read that began before that.
        key = (store_id, user_id, cached.epoch)
        cart = await state.loads.join(key, partial(stored_cart, state, store_id, user_id))
    return await shown_cart(state, cart)


async def shown_cart(state: ApiState, cart: Cart | None) -> Answer:
    """A cart as MongoDB has it, as it is shown; raises 404 without one."""
    answer = _found(cart)
    if cart is None or not state.policy.cache:
        return answer
    return await state.availability.shown(cart.store_id, answer)


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


def _found(cart: Cart | None) -> Answer:
    if cart is None:
        raise not_found("Cart")
    return cart_answer(cart)
