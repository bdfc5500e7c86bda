"""The owner of a cart id is looked up once, and kept in a bounded mapping."""

from adapters.mongo.carts import Owner
from api.owners import Owners
from models.cart import CartKey


class OwnerLookup:
    """A lookup in which cart N belongs to user-N."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def owner(self, cart_id: str) -> Owner | None:
        self.asked.append(cart_id)
        return None if cart_id == "none" else Owner(CartKey("store-1", f"user-{cart_id}"), None)


async def test_an_owner_is_looked_up_once() -> None:
    carts, owners = OwnerLookup(), Owners()
    for _ in range(2):
        assert await owners.of("a", carts.owner) == CartKey("store-1", "user-a")
    owners.keep("b", CartKey("store-2", "user-b"))
    assert await owners.of("b", carts.owner) == CartKey("store-2", "user-b")
    assert carts.asked == ["a"]


async def test_an_unknown_cart_is_looked_up_again() -> None:
    carts, owners = OwnerLookup(), Owners()
    for _ in range(2):
        assert await owners.of("none", carts.owner) is None
    assert carts.asked == ["none", "none"]


async def test_the_least_recently_used_owner_is_evicted() -> None:
    carts, owners = OwnerLookup(), Owners(most=2)
    for cart_id in ("a", "b", "a", "c", "a", "b"):
        await owners.of(cart_id, carts.owner)
    assert len(owners) == 2
    assert carts.asked == ["a", "b", "c", "b"]
