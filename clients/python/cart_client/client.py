"""The client: a method for each thing that a shop does with carts."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

from cart_client.errors import NotFound
from cart_client.models import (
    BatchCart,
    Cart,
    CartPage,
    CheckedOutCart,
    Guest,
    HistoryPage,
    MergedCart,
)
from cart_client.transport import Token, Transport

BASE = "/api/v1/cart"

Strategy = Literal["sum", "max", "keep", "replace"]


class CartClient:
    """One user's carts. Use it as an async context manager, or call `close`.

    `token` is the user's bearer token, or a function that returns a current one. Each request has
    `timeout` seconds, and is tried again for `patience` seconds. All methods raise `CartError`.
    """

    def __init__(
        self,
        base_url: str,
        token: Token | None = None,
        *,
        timeout: float = 15.0,
        patience: float = 30.0,
    ) -> None:
        self._http = Transport(base_url, token, timeout=timeout, patience=patience)

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # Reading

    async def get(self, store: str) -> Cart | None:
        """The user's cart in a store, or None."""
        try:
            return Cart.model_validate(await self._http.read(_store(store)))
        except NotFound:
            return None

    async def get_by_id(self, cart_id: str) -> Cart:
        """A cart by its id: the user's own or, for an admin, any of the store."""
        return Cart.model_validate(await self._http.read(_cart(cart_id)))

    async def history(self, cart_id: str, *, cursor: str | None = None) -> HistoryPage:
        """What changed in a cart, the latest first."""
        params = {"cursor": cursor} if cursor else None
        return HistoryPage.model_validate(
            await self._http.read(f"{_cart(cart_id)}/history", params=params)
        )

    async def list_carts(self, store: str, *, page: int = 1, limit: int = 10) -> CartPage:
        """A page of a store's carts, for its admins."""
        path = f"{BASE}/{quote(store, safe='')}/admin/carts"
        body = await self._http.read(path, params={"page": page, "limit": limit})
        return CartPage.model_validate(body["data"])

    # Changing; `key` repeats an earlier call, `if_match` is the cart that was read

    async def add(
        self, store: str, *, key: str | None = None, if_match: Cart | None = None, **item: Any
    ) -> Cart:
        """Adds an item, with the fields of the API: `productId`, `productTitle`, …"""
        body = await self._http.change(
            "POST", _store(store), item, key=key, if_match=_tag(if_match)
        )
        return Cart.model_validate(body)

    async def set_quantity(
        self,
        cart: Cart | str,
        product_id: str,
        quantity: int,
        *,
        key: str | None = None,
        if_match: Cart | None = None,
    ) -> Cart:
        """Sets the units of an item; the cart is named by itself or its id."""
        item = {"productId": product_id, "quantity": quantity}
        path = _cart(_id(cart))
        return Cart.model_validate(
            await self._http.change("PUT", path, item, key=key, if_match=_tag(if_match))
        )

    async def remove(
        self,
        cart: Cart | str,
        product_id: str,
        *,
        key: str | None = None,
        if_match: Cart | None = None,
    ) -> Cart:
        """Removes an item."""
        path = f"{_cart(_id(cart))}/items/{quote(product_id, safe='')}"
        body = await self._http.change("DELETE", path, key=key, if_match=_tag(if_match))
        return Cart.model_validate(body["cart"])

    async def clear(self, store: str, *, key: str | None = None) -> None:
        """Empties and ends the user's cart."""
        await self._http.change("DELETE", _store(store), key=key)

    async def extend(self, cart: Cart | str, *, key: str | None = None) -> Cart:
        """Holds the units of a cart from now on, those as well whose hold has ended."""
        path = f"{_cart(_id(cart))}/extend"
        return Cart.model_validate(await self._http.change("POST", path, key=key))

    async def batch(
        self,
        store: str,
        operations: Iterable[Mapping[str, Any]],
        *,
        mode: Literal["all_or_nothing", "best_effort"] = "all_or_nothing",
        key: str | None = None,
        if_match: Cart | None = None,
    ) -> BatchCart:
        """Does several adds, sets and removes at once."""
        body = {"operations": [dict(one) for one in operations], "mode": mode}
        path = f"{_store(store)}/batch"
        return BatchCart.model_validate(
            await self._http.change("POST", path, body, key=key, if_match=_tag(if_match))
        )

    # Checking out

    async def check_out(
        self, store: str, *, key: str | None = None, if_match: Cart | None = None
    ) -> CheckedOutCart:
        """Freezes the cart and holds its units until `expiresAt`."""
        path = f"{_store(store)}/checkout"
        return CheckedOutCart.model_validate(
            await self._http.change("POST", path, key=key, if_match=_tag(if_match))
        )

    async def cancel_checkout(self, store: str, *, key: str | None = None) -> None:
        """Lets the cart be changed again."""
        await self._http.change("DELETE", f"{_store(store)}/checkout", key=key)

    # Guests

    async def become_guest(self) -> Guest:
        """A new guest; make another client with its token."""
        return Guest.model_validate(await self._http.change("POST", "/api/v1/guests"))

    async def merge(
        self, store: str, guest_token: str, *, strategy: Strategy = "sum", key: str | None = None
    ) -> MergedCart:
        """Moves the guest's cart into the user's."""
        body = {"guestToken": guest_token, "strategy": strategy}
        path = f"{_store(store)}/merge"
        return MergedCart.model_validate(await self._http.change("POST", path, body, key=key))


def _store(store: str) -> str:
    return f"{BASE}/{quote(store, safe='')}/store"


def _cart(cart_id: str) -> str:
    return f"{BASE}/{quote(cart_id, safe='')}"


def _id(cart: Cart | str) -> str:
    return cart if isinstance(cart, str) else cart.field_id


def _tag(cart: Cart | None) -> str | None:
    """The entity tag of a cart's version."""
    return None if cart is None else f'"{cart.version}-{cart.field_id}"'
