"""Shops with the client of clients/python."""

import asyncio
import os
from typing import Any

from cart_client import (
    CartClient,
    CheckedOut,
    InsufficientStock,
    InvalidRequest,
    PreconditionFailed,
    Unauthorized,
    Unavailable,
)

URL, STORE, TOKEN = (os.environ[name] for name in ("CART_URL", "CART_STORE", "CART_TOKEN"))


def item(product: str, quantity: int) -> dict[str, Any]:
    return {
        "productId": product,
        "productTitle": "Wireless Headphones",
        "productPrice": 79.99,
        "quantity": quantity,
    }


async def main() -> None:  # noqa: C901, PLR0915 (one story)
    async with CartClient(URL) as nobody:
        guest = await nobody.become_guest()
        try:
            await nobody.get(STORE)
        except Unauthorized as refused:
            assert refused.code == "token_missing"
        else:
            raise AssertionError("no token was needed")
    async with CartClient(URL, guest.token) as guests:
        lamps = await guests.add(STORE, **item("lamp", 2))  # answered with 202
        assert lamps.quantity == 2
    async with CartClient(URL, lambda: TOKEN) as carts:
        assert await carts.get(STORE) is None
        cart = await carts.add(STORE, key="one-key", **item("headphones", 2))
        again = await carts.add(STORE, key="one-key", **item("headphones", 2))
        assert again == cart
        try:
            await carts.add(STORE, **item("headphones", 50))
        except InsufficientStock as refused:
            assert refused.available == 8
        else:
            raise AssertionError("50 were to be had")
        cart = await carts.set_quantity(cart, "headphones", 5, if_match=cart)
        assert cart.quantity == 5
        try:
            await carts.set_quantity(cart, "headphones", 6, if_match=again)
        except PreconditionFailed:
            pass
        else:
            raise AssertionError("an old version was changed")
        try:
            await carts.add(STORE, **item("no id!", 1))
        except InvalidRequest as refused:
            assert refused.problem.details
            assert refused.problem.details[0].field == "productId"
        merged = await carts.merge(STORE, guest.token)
        assert merged.quantity == 7
        several = await carts.batch(
            STORE,
            [
                {"op": "add", **item("kettle", 2)},
                {"op": "set", "productId": "kettle", "quantity": 1},
            ],
        )
        assert several.quantity == 8
        checkout = await carts.check_out(STORE)
        assert checkout.quantity == 8
        try:
            await carts.add(STORE, **item("kettle", 1))
        except CheckedOut as refused:
            assert refused.code == "cart_checked_out"
        else:
            raise AssertionError("a cart that is checked out was changed")
        await carts.cancel_checkout(STORE)
        cart = await carts.extend(cart)
        history = await carts.history(cart.field_id)
        assert len(history.changes) >= 5
        cart = await carts.remove(cart, "headphones")
        assert cart.quantity == 3
        await carts.clear(STORE)
        assert await carts.get(STORE) is None
    async with CartClient("http://127.0.0.1:1", TOKEN, patience=0.5) as away:
        try:
            await away.clear(STORE, key="kept")
        except Unavailable as refused:
            assert (refused.status, refused.key) == (0, "kept")
        else:
            raise AssertionError("something answered")
    print("done")


asyncio.run(main())
