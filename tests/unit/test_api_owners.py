"""Whose cart an id is: asked for once, and remembered within bounds."""

from adapters.mongo.carts import CartOwner, Owner
from api.owners import Owners


class Carts:
    """Carts of which each is the user's of its own name."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def owner(self, cart_id: str) -> Owner | None:
        self.asked.append(cart_id)
        return None if cart_id == "none" else Owner("store-1", f"user-{cart_id}", None)


async def test_it_is_asked_for_once() -> None:
    carts, owners = Carts(), Owners()
    for _ in range(2):
        assert await owners.of("a", carts) == CartOwner("store-1", "user-a")
    owners.know("b", CartOwner("store-2", "user-b"))
    assert await owners.of("b", carts) == CartOwner("store-2", "user-b")
    assert carts.asked == ["a"]


async def test_what_is_no_cart_may_become_one() -> None:
    carts, owners = Carts(), Owners()
    for _ in range(2):
        assert await owners.of("none", carts) is None
    assert carts.asked == ["none", "none"]


async def test_the_one_not_asked_for_the_longest_is_forgotten() -> None:
    carts, owners = Carts(), Owners(most=2)
    for cart_id in ("a", "b", "a", "c", "a", "b"):
        await owners.of(cart_id, carts)
    assert len(owners) == 2
    assert carts.asked == ["a", "b", "c", "b"]
