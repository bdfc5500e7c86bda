"""Whose cart an id is. That never changes, so it is asked for once."""

from typing import Protocol

from adapters.mongo.carts import CartOwner, Owner
from adapters.recent import Recent

MOST = 50_000
"""Carts whose owner is remembered, about 20 MB of them; the one not asked for the longest goes."""


class Reader(Protocol):
    """Where it is read (`adapters.mongo.carts.CartStore`)."""

    async def owner(self, cart_id: str) -> Owner | None: ...


class Owners:
    """The owners of the carts that this process has heard of lately."""

    def __init__(self, *, most: int = MOST) -> None:
        self._known: Recent[str, CartOwner] = Recent(most=most)

    def __len__(self) -> int:
        return len(self._known)

    def know(self, cart_id: str, owner: CartOwner) -> None:
        """Whoever has read or written the cart says whose it is."""
        self._known.keep(cart_id, owner)

    async def of(self, cart_id: str, carts: Reader) -> CartOwner | None:
        """Whose cart this is, or was; None for an id that never was a cart's."""
        owner = self._known.get(cart_id)
        if owner is None:
            found = await carts.owner(cart_id)
            if found is None:
                return None  # it may become one
            owner = CartOwner(found.store_id, found.user_id)  # without the cart
        self.know(cart_id, owner)
        return owner
