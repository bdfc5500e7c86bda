"""Tokens, requests and stored documents of the benchmarks."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
from beanie import PydanticObjectId
from pymongo import AsyncMongoClient

from adapters.mongo.client import stored_form
from cli.token import mint_token
from dev.bench.client import request
from dev.inventory_service.documents import Document, new_reservation, product_key
from dev.inventory_service.schemas import ReserveRequest
from models.cart import CartContent, CartKey, Lifetime
from models.cart_line import CartLine
from models.documents import Cart, bucket_of
from settings import Settings

STORE = "bench-store"
PRODUCTS = 128  # shoppers of one product wait for each other; these add different products
CREATED = 201
ITEM = {"productTitle": "Wireless Headphones", "productPrice": 79.99, "quantity": 1}
_STOCK = 1_000_000
_BATCH = 5_000
_PLANTED = [f"product-{number}" for number in range(50)]
_LINES = 3


def new_user() -> str:
    """A user without a cart."""
    return f"user-{uuid4().hex[:16]}"


def add_request(
    settings: Settings,
    user: str,
    product: str,
    *,
    path: str = "/api/v1/cart",
    store: str = STORE,
) -> bytes:
    """A request to add one unit of a product to the cart of a user."""
    token = mint_token(settings, user=user, name="Ada Lovelace")
    body = {"productId": product, **ITEM}
    return request("POST", f"{path}/{store}/store", token=token, body=body)


async def set_stock(settings: Settings, store: str = STORE) -> None:
    """Stocks enough of every product."""
    async with httpx.AsyncClient(base_url=settings.inventory, trust_env=False) as inventory:
        for number in range(PRODUCTS + 1):
            answer = await inventory.put(
                f"/api/v1/inventories/stock/product-{number}",
                params={"storeId": store},
                json={"available": _STOCK},
            )
            answer.raise_for_status()


def new_cart(store: str, user: str, products: Sequence[str]) -> Cart:
    """A cart with one unit of each product, not stored."""
    now = datetime.now(UTC)
    content = CartContent.empty(CartKey(store, user), "USD", now)
    for product in products:
        line = CartLine(
            product_id=product,
            product_title=str(ITEM["productTitle"]),
            product_price=Decimal(str(ITEM["productPrice"])),
            product_quantity=1,
            reserved_at=now,
        )
        content = content.with_line(line, now, Lifetime(expiry_days=30))
    return Cart(_id=PydanticObjectId(), **content.model_dump())


async def store_carts(
    store: str, number: int, products: Sequence[Sequence[str]], **fields: Any
) -> None:
    """Stores carts of user-0000000 and so on, with these products in turn, a second apart."""
    now = datetime.now(UTC)
    carts = [stored_form(new_cart(store, "", ids)) for ids in products]

    def stored(number: int) -> Document:
        at = now - timedelta(seconds=number)
        user = user_of(number)
        own = {
            "_id": PydanticObjectId(),
            "userId": user,
            "bucket": bucket_of(CartKey(store, user)),
        }
        return carts[number % len(carts)] | own | {"createdAt": at, "updatedAt": at} | fields

    for batch in _batches(number):
        await Cart.get_pymongo_collection().insert_many(map(stored, batch), ordered=False)


def _batches(number: int) -> Iterator[range]:
    for begin in range(0, number, _BATCH):
        yield range(begin, min(begin + _BATCH, number))


def user_of(number: int) -> str:
    return f"user-{number:07}"


def planted_products(number: int) -> list[str]:
    """The products of the nth cart that `plant` stores."""
    return [_PLANTED[(number + line) % len(_PLANTED)] for line in range(_LINES)]


def hold(store: str, user: str, product: str, quantity: int = 1) -> Document:
    """A reservation as the reference inventory stores it."""
    reserve = ReserveRequest(
        store_id=store,
        product_id=product,
        quantity=quantity,
        user_id=user,
        saga_id=f"planted-{user}-{product}-{quantity}",
        reservation_type="cart",
    )
    return new_reservation(reserve, product_key(store, product))


async def plant(
    settings: Settings, store: str, number: int, expires: datetime, **fields: Any
) -> None:
    """Stores carts of three lines each, with their reservations."""
    products = [planted_products(first) for first in range(len(_PLANTED))]
    await store_carts(store, number, products, expireAt=expires, **fields)
    async with AsyncMongoClient[Document](settings.mongodb.get_secret_value()) as client:
        inventory = client["inventory"]
        for batch in _batches(number):
            holds = [
                hold(store, user_of(cart), product)
                for cart in batch
                for product in planted_products(cart)
            ]
            await inventory["actions"].insert_many(holds, ordered=False)
        for product in _PLANTED:
            of_product = {"storeId": store, "productId": product}
            held = await inventory["actions"].count_documents(of_product)
            stock = {"_id": f"{store}/{product}", "available": number, "held": held, "sold": 0}
            await inventory["stock"].insert_one(stock)
