"""The owners of carts by id. An owner never changes, so each is read once."""

from collections.abc import Awaitable, Callable

from adapters.bounded_cache import BoundedCache
from adapters.mongo.carts import CartScope, Owner
from models.cart import CartKey

MOST = 50_000
"""Carts whose owner is kept, about 20 MB."""


ReadOwner = Callable[[str, CartScope | None], Awaitable[Owner | None]]
"""Reads the owner of a cart id (`adapters.mongo.carts.CartStore.owner`)."""


class Owners:
    """The owners that this process has seen lately."""

    def __init__(self, *, most: int = MOST) -> None:
        self._known: BoundedCache[str, CartKey] = BoundedCache(max_size=most)

    def __len__(self) -> int:
        return len(self._known)

    def keep(self, cart_id: str, owner: CartKey) -> None:
        """Keeps the owner of a cart that was read or written."""
        self._known.keep(cart_id, owner)

    async def of(
        self, cart_id: str, read: ReadOwner, scope: CartScope | None = None
    ) -> CartKey | None:
        """Whose cart this is, or was; None for an id that never was of a cart in the scope.

        A cart that is out of scope is read too, so that it takes as long as one that never existed.
        """
        key = self._known.get(cart_id)
        if key is None or not (scope is None or scope.covers(key)):
            owner = await read(cart_id, scope)
            if owner is None:
                return None  # a cart may get this id later
            key = owner.key
        self.keep(cart_id, key)
        return key
