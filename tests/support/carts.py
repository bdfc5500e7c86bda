"""Carts, holds and records that are stored directly, as they would be after a long time."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
from temporalio.client import WorkflowExecutionStatus

from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from models.cart import CartKey
from models.cart_line import CartLine
from models.documents import Cart, OperationRecord, due_at
from tests.support.actors import SHOPPER
from tests.support.keys import KEYRING
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually

PRICE = Decimal("10.00")


async def hold(
    shop: Shop, user_id: str, product_id: str, quantity: int, saga_id: str = "planted"
) -> None:
    """Reserves units for a user, as a saga would."""
    response = await shop.world.inventory.post(
        "/api/v1/inventories/reserve",
        json={
            "storeId": shop.store_id,
            "productId": product_id,
            "quantity": quantity,
            "userId": user_id,
            "sagaId": f"{saga_id}-{user_id}",
            "reservationType": "cart",
        },
    )
    response.raise_for_status()


async def release(
    shop: Shop, user_id: str, product_id: str, quantity: int, saga_id: str = "planted-release"
) -> None:
    """Releases units of a user without a change of the cart."""
    response = await shop.world.inventory.post(
        "/api/v1/inventories/release",
        json={
            "storeId": shop.store_id,
            "productId": product_id,
            "quantity": quantity,
            "userId": user_id,
            "sagaId": f"{saga_id}-{user_id}",
            "reason": "planted",
        },
    )
    response.raise_for_status()


def cart_of(
    store_id: str,
    user_id: str,
    lines: dict[str, int],
    *,
    expires_in: timedelta = timedelta(days=30),
    version: int = 1,
) -> Cart:
    """A cart with these lines (product -> units), not stored."""
    now = datetime.now(UTC).replace(microsecond=0)
    items = [
        CartLine(
            product_id=product_id,
            product_title=product_id.title(),
            product_price=PRICE,
            product_quantity=units,
            reserved_at=now,
        )
        for product_id, units in lines.items()
    ]
    return Cart(
        user_id=user_id,
        store_id=store_id,
        quantity=sum(lines.values()),
        total_price=PRICE * sum(lines.values()),
        currency="USD",
        cart_items=items,
        expire_at=now + expires_in,
        version=version,
        created_at=now - timedelta(days=1),
        updated_at=now - timedelta(days=1),
    )


async def plant_cart(
    shop: Shop,
    user_id: str,
    lines: dict[str, int],
    *,
    expires_in: timedelta = timedelta(days=30),
    held: bool = True,
) -> Cart:
    """Stores a cart with these lines and, if `held`, reserves their units."""
    cart = cart_of(shop.store_id, user_id, lines, expires_in=expires_in)
    await cart.insert()
    if held:
        for product_id, units in lines.items():
            await hold(shop, user_id, product_id, units)
    return cart


async def forget_holds(shop: Shop) -> None:
    """Gives back all units that are held in a shop; its carts keep their lines."""
    await Cart.get_pymongo_collection().update_many(
        {"storeId": shop.store_id}, {"$set": {"cartItems.$[].unitsHeld": 0}}
    )
    for (user_id, product_id), units in (await shop.holds()).items():
        await release(shop, user_id, product_id, units, saga_id=f"forgotten-{uuid4().hex[:8]}")


async def cache_cart(shop: Shop, user_id: str, *, version: int, body: bytes) -> None:
    """Caches a version of a user's cart, whatever is stored."""
    redis = RedisPool(shop.world.settings.redis)
    cache = CartCache(redis, KEYRING, ttl_seconds=600)
    await cache.put(CartKey(shop.store_id, user_id), version=version, body=body)
    await redis.close()


async def forget_cached(shop: Shop, user_id: str) -> None:
    """Removes what is cached of a user's cart."""
    redis = RedisPool(shop.world.settings.redis)
    await CartCache(redis, KEYRING, ttl_seconds=600).forget(CartKey(shop.store_id, user_id))
    await redis.close()


async def added(buyer: Buyer, product_id: str = "headphones", quantity: int = 1) -> httpx.Response:
    """The 201 of an add, which is repeated with its key until then, as on a busy day."""
    key = uuid4().hex

    async def once() -> httpx.Response:
        answer = await buyer.add(product_id, quantity, key=key)
        assert answer.status_code == 201, answer.text
        return answer

    return await eventually(once, timeout=60)


async def add_until_committed(
    buyer: Buyer, product_id: str = "headphones", quantity: int = 1
) -> None:
    """Adds as `added` does; the saga has ended then, and the cart is free."""
    saga = buyer.shop.world.temporal.get_workflow_handle(buyer.workflow_id)

    async def ended() -> None:
        assert (await saga.describe()).status is not WorkflowExecutionStatus.RUNNING

    await added(buyer, product_id, quantity)
    await eventually(ended, timeout=60)


async def expire(shop: Shop, user_id: str, *, ago: timedelta = timedelta(minutes=1)) -> None:
    """Moves the expiry of a user's cart into the past."""
    await Cart.find_one({"storeId": shop.store_id, "userId": user_id}).update(
        {"$set": {"expireAt": datetime.now(UTC) - ago}}
    )


async def end_holds(shop: Shop, user_id: str) -> None:
    """Moves the end of a user's holds into the past."""
    await Cart.find_one({"storeId": shop.store_id, "userId": user_id}).update(
        {"$set": {"holdsEnd": datetime.now(UTC) - timedelta(minutes=1)}}
    )


async def end_checkout(shop: Shop, user_id: str) -> None:
    """Moves the end of a user's checkout into the past."""
    await Cart.find_one({"storeId": shop.store_id, "userId": user_id}).update(
        {"$set": {"checkout.expiresAt": datetime.now(UTC) - timedelta(minutes=1)}}
    )


async def leave_alone(shop: Shop, user_id: str) -> None:
    """Makes a user's cart due to be abandoned."""
    await Cart.find_one({"storeId": shop.store_id, "userId": user_id}).update(
        {"$set": {"abandonAt": datetime.now(UTC) - timedelta(minutes=1)}}
    )


async def clear_reasons(shop: Shop) -> list[str | None]:
    """The reasons of all clears in the shop, in the order of time."""
    return [
        record.reason
        for record in await OperationRecord.find(
            {"storeId": shop.store_id, "operation": "ClearCart"}
        )
        .sort("at")
        .to_list()
    ]


def operation_record(shop: Shop, reason: str | None = None, **more: Any) -> OperationRecord:
    """A record, of a clear by default; it is not stored."""
    user = more.get("user_id", "user")
    fields: dict[str, Any] = {
        "id": str(uuid4()),
        "state": "committed",
        "operation": "ClearCart",
        "operation_id": uuid4().hex,
        "run_id": str(uuid4()),
        "saga_id": "cart-1-user-ClearCart",
        "fingerprint": "",
        "actor": SHOPPER,
        "store_id": shop.store_id,
        "user_id": user,
        "pending": False,
        "reason": reason,
        "at": datetime.now(UTC),
    }
    fields |= more
    key = CartKey(shop.store_id, user)
    return OperationRecord(due=due_at(key, fields.get("effects", ()), fields["at"]), **fields)
