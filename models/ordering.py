"""Which units an order took from a cart that changed after it was ordered. Pure functions."""

from collections.abc import Iterable, Mapping

from models.operations import OrderedLine

Units = Mapping[str, int]
"""Product -> units."""


def ordered_lines(
    now: Units, moves: Iterable[Units], items: tuple[OrderedLine, ...] | None
) -> tuple[OrderedLine, ...]:
    """The units in the cart `now` that were in it before `moves` (the changes since, in order).

    Removed units count as the ones added last. `items` limits the result to these quantities.
    """
    changes = list(moves)
    asked = None if items is None else {item.product_id: item.quantity for item in items}
    lines = []
    for product_id, units in now.items():
        if asked is not None and product_id not in asked:
            continue
        left = _left(units, [move.get(product_id, 0) for move in changes])
        wanted = asked.get(product_id) if asked is not None else None
        quantity = left if wanted is None else min(wanted, left)
        if quantity > 0:
            lines.append(OrderedLine(product_id=product_id, quantity=quantity))
    return tuple(lines)


def _left(now: int, moves: list[int]) -> int:
    ordered, later = now - sum(moves), 0
    for moved in moves:
        later += moved
        if later < 0:
            ordered, later = ordered + later, 0
    return max(0, min(ordered, now))
