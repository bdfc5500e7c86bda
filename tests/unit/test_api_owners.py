"""The owner of a cart id is looked up once, and kept in a bounded mapping."""

from adapters.mongo.carts import CartScope, Owner
from api.owners import Owners
from models.cart import CartKey


class OwnerLookup:
    """A lookup in which cart N belongs to user-N."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def owner(self, cart_id: str, scope: CartScope | None = None) -> Owner | None:
        self.asked.append(cart_id)
        key = CartKey("store-1", f"user-{cart_id}")
        is_known = cart_id != "none" and (scope is None or scope.covers(key))
        return Owner(key, None) if is_known else None


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


async def test_a_foreign_cart_is_looked_up_like_one_that_does_not_exist() -> None:
    """Also when its owner is known: the time of an answer must not say that it exists."""
    carts, owners = OwnerLookup(), Owners()
    stranger = CartScope("user-b", frozenset({"store-2"}))
    assert await owners.of("a", carts.owner, CartScope("user-a")) is not None
    for cart_id in ("a", "none", "a", "none"):
        assert await owners.of(cart_id, carts.owner, stranger) is None
    assert carts.asked == ["a", "a", "none", "a", "none"]
    assert await owners.of("a", carts.owner, CartScope("boss", frozenset({"store-1"}))) is not None
    assert carts.asked == ["a", "a", "none", "a", "none"]


def test_a_scope_is_the_own_carts_and_those_of_the_administered_stores() -> None:
    own, administered, foreign = CartKey("s1", "ann"), CartKey("s2", "bob"), CartKey("s3", "bob")
    shopper, admin = CartScope("ann"), CartScope("ann", frozenset({"s2"}))
    assert [shopper.covers(key) for key in (own, administered, foreign)] == [True, False, False]
    assert [admin.covers(key) for key in (own, administered, foreign)] == [True, True, False]
    assert shopper.query() == {"userId": "ann"}
    assert admin.query() == {"$or": [{"userId": "ann"}, {"storeId": {"$in": ["s2"]}}]}
