"""Reads of carts: which version is current says MongoDB, its JSON may come from Redis."""

from functools import partial
from http import HTTPStatus

import structlog

from api.dependencies import Call
from api.entity_tags import cart_answer, etag_headers
from api.error_codes import ErrorCode
from api.errors import Answer, not_found
from api.state import ApiState
from models.cart import CartKey, CartVersion, cart_json
from models.documents import Cart
from models.errors import DependencyUnavailable
from telemetry.metrics import CACHE_HITS, CACHE_MISSES

logger = structlog.stdlib.get_logger(__name__)


async def cart_owner(call: Call, cart_id: str) -> CartKey:
    """The owner of a cart that the caller may access; raises 404 for any other.

    Also of a cart that has ended: operations and records outlive their cart.
    """
    state, scope = call.state, call.principal.scope
    owner = await state.owners.of(cart_id, state.carts.owner, scope)
    if owner is None:
        raise not_found(ErrorCode.CART_NOT_FOUND)
    return owner


async def own_cart(state: ApiState, key: CartKey) -> Answer:
    """The user's cart, never an older version than one that was answered; raises 404 without one.

    Redis cannot show an older version whatever it has missed, because the version is MongoDB's.
    """
    version = await state.carts.version(key)
    if version is None:
        raise not_found(ErrorCode.CART_NOT_FOUND)
    body = await _cached(state, key, version)
    if body is not None:
        answer = Answer(HTTPStatus.OK, body, etag_headers(body))
        return await state.availability.shown(key.store_id, answer)
    cart = await state.loads.join((key, version), partial(_load, state, key))
    return await shown_cart(state, cart)


async def shown_cart(state: ApiState, cart: Cart | None) -> Answer:
    """A stored cart as clients see it; raises 404 without one."""
    if cart is None:
        raise not_found(ErrorCode.CART_NOT_FOUND)
    return await state.availability.shown(cart.store_id, cart_answer(cart))


async def _cached(state: ApiState, key: CartKey, version: CartVersion) -> bytes | None:
    log = logger.bind(storeId=key.store_id, userId=key.user_id)
    try:
        body = await state.cache.get(key, version)
    except DependencyUnavailable as error:  # the pool has warned
        logger.debug("cart_cache_unread", message=f"Cart is read without the cache: {error}")
        return None
    if body is None:
        CACHE_MISSES.add(1, {"cache": "cart"})
        log.debug("cache_miss", message="Cart not found in the cache")
    else:
        CACHE_HITS.add(1, {"cache": "cart"})
        log.debug("cache_hit", message="Cart found in the cache")
    return body


async def _load(state: ApiState, key: CartKey) -> Cart | None:
    """The stored cart, which is cached for the next reader."""
    cart = await state.carts.cart(key)
    if cart is not None:
        try:
            await state.cache.fill(key, cart.version, cart_json(cart.id, cart))
        except DependencyUnavailable as error:
            logger.debug("cart_uncached", message=f"Cart was not cached: {error}")
    return cart
