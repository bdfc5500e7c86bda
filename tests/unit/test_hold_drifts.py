"""Drift between the units in a cart and the units held for it."""

import pytest

from models.drift import DriftKind
from models.upkeep.reconcile import hold_drifts

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
