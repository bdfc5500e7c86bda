"""Carts that are planted, as they would be after a long time."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from models.cart import Cart, CartLine
from models.operation import Operation, shard_key
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
    """Gives units of a user back, behind the cart's back."""
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
    """A cart with these units of products (id -> units)."""
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
    """Stores a cart, with its holds unless told otherwise."""
    cart = cart_of(shop.store_id, user_id, lines, expires_in=expires_in)
    await cart.insert()
    if held:
        for product_id, units in lines.items():
            await hold(shop, user_id, product_id, units)
    return cart


async def cache_cart(
    shop: Shop, user_id: str, *, created_at: datetime, version: int, body: bytes
) -> None:
    """Caches a version of a user's cart, whatever is stored."""
    redis = RedisPool(shop.world.settings.redis)
    cache = CartCache(redis, ttl_seconds=600)
    await cache.put(shop.store_id, user_id, created_at=created_at, version=version, body=body)
    await redis.close()


async def insist(buyer: Buyer, product_id: str = "headphones", quantity: int = 1) -> None:
    """Adds, and again with the same key until it is done, as a shopper on a busy day does."""
    key = uuid4().hex

    async def added() -> None:
        answer = await buyer.add(product_id, quantity, key=key)
        assert answer.status_code == 201, answer.text

    await eventually(added, timeout=60)


async def expire(shop: Shop, user_id: str, *, ago: timedelta = timedelta(minutes=1)) -> None:
    """Lets the time of a user's cart have passed."""
    await Cart.find_one({"storeId": shop.store_id, "userId": user_id}).update(
        {"$set": {"expireAt": datetime.now(UTC) - ago}}
    )


async def reasons(shop: Shop) -> list[str | None]:
    """Why carts of the shop were cleared, in the order in which they were."""
    return [
        record.reason
        for record in await Operation.find({"storeId": shop.store_id, "operation": "ClearCart"})
        .sort("at")
        .to_list()
    ]


def record(shop: Shop, reason: str | None = None, **more: Any) -> Operation:
    """A record, of a clear unless told otherwise; it is not stored."""
    user = more.get("user_id", "user")
    fields = {
        "id": str(uuid4()),
        "state": "committed",
        "operation": "ClearCart",
        "operation_id": uuid4().hex,
        "saga_id": "cart-1-user-ClearCart",
        "fingerprint": "",
        "store_id": shop.store_id,
        "user_id": user,
        "pending": False,
        "reason": reason,
        "shard_key": shard_key(shop.store_id, user),
        "at": datetime.now(UTC),
    }
    return Operation(**fields | more)
