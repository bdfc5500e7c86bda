"""The list of holds."""

import asyncio
from itertools import pairwise

from tests.integration.inventory.service import Warehouse


async def test_pages_show_every_hold_once_in_order(warehouse: Warehouse) -> None:
    expected = []
    for product in ("a", "B", "c-1"):
        await warehouse.stock(100, product)
        for number, user in enumerate(("u1", "u10", "u2", "_x")):
            await warehouse.reserve(f"s-{product}-{user}", number + 1, user, product)
            expected.append((user, product, number + 1))
    await warehouse.release("gone", 4, "user", user="_x", product="a")
    expected.remove(("_x", "a", 4))
    for size in (1, 2, 5, 11, 1000):
        rows, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            status, body = await warehouse.page(
                limit=size, **({"cursor": cursor} if cursor else {})
            )
            assert status == 200
            assert 0 < len(body["reservations"]) <= size
            rows += [(r["userId"], r["productId"], r["quantity"]) for r in body["reservations"]]
            cursor, pages = body["cursor"], pages + 1
            assert pages <= len(expected)
        assert rows == sorted(expected)
        assert pages == -(-len(expected) // size)


async def test_a_page_has_a_hundred_rows_by_default(warehouse: Warehouse) -> None:
    await warehouse.stock(1000)
    for start in range(0, 120, 30):
        await asyncio.gather(
            *(warehouse.reserve(f"s{n}", user=f"u{n}") for n in range(start, start + 30))
        )
    _, first = await warehouse.page()
    assert len(first["reservations"]) == 100
    _, second = await warehouse.page(cursor=first["cursor"])
    assert len(second["reservations"]) == 20
    assert second["cursor"] is None
    users = [row["userId"] for row in first["reservations"] + second["reservations"]]
    assert all(one < next_one for one, next_one in pairwise(users))


async def test_a_cursor_stays_valid_when_holds_change(
    warehouse: Warehouse,
) -> None:
    await warehouse.stock(100)
    for user in ("b", "c", "d", "e"):
        await warehouse.reserve(f"s-{user}", user=user)
    _, first = await warehouse.page(limit=2)
    assert [row["userId"] for row in first["reservations"]] == ["b", "c"]
    await warehouse.reserve("s-a", user="a")
    await warehouse.release("s-c", user="c")
    _, second = await warehouse.page(limit=2, cursor=first["cursor"])
    assert [row["userId"] for row in second["reservations"]] == ["d", "e"]


async def test_the_list_can_be_filtered(warehouse: Warehouse) -> None:
    for product in ("book", "pen"):
        await warehouse.stock(100, product)
        for user in ("ann", "bob"):
            await warehouse.reserve(f"s-{product}-{user}", user=user, product=product)

    async def listed(**query: str) -> list[tuple[str, str]]:
        _, body = await warehouse.page(**query)
        return [(row["userId"], row["productId"]) for row in body["reservations"]]

    assert await listed(userId="ann") == [("ann", "book"), ("ann", "pen")]
    assert await listed(productId="pen") == [("ann", "pen"), ("bob", "pen")]
    assert await listed(userId="bob", productId="pen") == [("bob", "pen")]
    assert await listed(userId="ann", cursor="ann~book") == [("ann", "pen")]
    assert await listed(userId="carl") == []
