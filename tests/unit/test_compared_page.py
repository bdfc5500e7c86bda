"""A page of reconciling that ends early counts only what it has compared, and the next page begins
with the rest: each cart is counted once."""

import pytest

from activities.upkeep.reconcile import ComparedPage
from models.upkeep.reconcile import Position, Suspect


def of(*users: str) -> list[Suspect]:
    return [Suspect(store_id=user[0], user_id=user) for user in users]


def page() -> ComparedPage:
    """Two stores with three carts each, four of which differ."""
    return ComparedPage(
        carts=of("a1", "a2", "a3", "b1", "b2", "b3"),
        stores=["a", "b"],
        suspects=of("a2", "a3", "b1", "b3"),
    )


@pytest.mark.parametrize(
    ("room", "carts", "stores"),
    [
        (1, ("a1", "a2"), []),
        (2, ("a1", "a2", "a3"), []),
        (3, ("a1", "a2", "a3", "b1"), ["a"]),
    ],
)
def test_a_page_ends_with_the_last_cart_that_has_room(
    room: int, carts: tuple[str, ...], stores: list[str]
) -> None:
    cut = page()
    cut.cut(room, None)
    last = cut.suspects[-1]
    assert (len(cut.suspects), cut.carts, cut.stores) == (room, of(*carts), stores)
    assert cut.next == Position(store_id=last.store_id, user_id=last.user_id)


def test_a_page_without_room_begins_again() -> None:
    begin = Position(store_id="a", user_id="a0", cursor="3")
    cut = page()
    cut.cut(0, begin)
    assert (cut.suspects, cut.carts, cut.stores, cut.next) == ([], [], [], begin)


def test_a_page_with_room_for_all_is_as_it_was() -> None:
    cut = page()
    cut.cut(4, None)
    assert cut == page()
