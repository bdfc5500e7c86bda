"""Drift between the units in a cart and the units held for it."""

import pytest

from models.drift import Drift, DriftKind
from models.upkeep.reconcile import MOST_DRIFT_BYTES, MOST_DRIFTS, hold_drifts, listed

MISSING, ORPHANED = DriftKind.MISSING_HOLD, DriftKind.ORPHANED_HOLD


@pytest.mark.parametrize(
    ("lines", "held", "drifts"),
    [
        ({}, {}, {}),
        ({"lamp": 2}, {"lamp": 2}, {}),
        ({"lamp": 2}, {"lamp": 1}, {"lamp": MISSING}),
        ({"lamp": 2}, {}, {"lamp": MISSING}),
        ({"lamp": 2}, {"lamp": 3}, {"lamp": ORPHANED}),
        ({}, {"lamp": 1}, {"lamp": ORPHANED}),
        (
            {"lamp": 1, "mug": 1},
            {"mug": 2, "pen": 1},
            {"lamp": MISSING, "mug": ORPHANED, "pen": ORPHANED},
        ),
    ],
)
def test_a_difference_between_cart_and_holds_is_drift(
    lines: dict[str, int], held: dict[str, int], drifts: dict[str, DriftKind]
) -> None:
    found = hold_drifts(lines, held, unsettled=(), reserving=True)
    assert {drift.product_id: drift.kind for drift in found} == drifts
    for drift in found:
        product = drift.product_id or ""
        assert (drift.expected, drift.found) == (lines.get(product, 0), held.get(product, 0))


def test_a_product_with_a_pending_release_is_no_drift() -> None:
    found = hold_drifts({"mug": 1}, {"lamp": 2}, unsettled={"lamp", "mug"}, reserving=True)
    assert found == []


def test_with_reservations_off_only_a_hold_without_a_line_is_drift() -> None:
    found = hold_drifts({"lamp": 2}, {"mug": 1}, unsettled=(), reserving=False)
    assert [(drift.product_id, drift.kind) for drift in found] == [("mug", ORPHANED)]


def test_at_most_a_hundred_drifts_of_a_cart_are_listed_and_the_others_counted() -> None:
    held = {f"product-{number:04}": 1 for number in range(1000)}
    drifts = hold_drifts({}, held, unsettled=(), reserving=True)
    assert listed(drifts[:MOST_DRIFTS]) == drifts[:MOST_DRIFTS]
    *shown, further = listed(drifts, more=7)
    assert shown == drifts[:MOST_DRIFTS]
    assert (further.kind, further.found) == (DriftKind.FURTHER, 1007 - MOST_DRIFTS)


def test_the_listed_drifts_of_a_cart_have_a_bounded_size() -> None:
    """The inventory chooses the ids of the products that it holds."""
    held = {f"{number}-{'x' * 10_000}": 1 for number in range(50)}
    shown = listed(hold_drifts({}, held, unsettled=(), reserving=True))
    assert sum(len(one.model_dump_json()) for one in shown) <= MOST_DRIFT_BYTES + 200
    assert sum(one.found for one in shown) == 50
    huge = Drift(kind=DriftKind.ORPHANED_HOLD, detail="x" * MOST_DRIFT_BYTES)
    assert [one.kind for one in listed([huge])] == [DriftKind.FURTHER]
