"""The invariants catch what they are for: each known mistake shows, and the good build has none."""

import asyncio

import pytest

from tests.faults.invariants import (
    Violation,
    carts_hold_what_was_committed,
    every_hold_is_a_cart_line,
    reads_are_not_behind,
    versions_have_no_gap,
    violations,
)
from tests.faults.invariants_of_events import every_change_is_told
from tests.faults.known_bad import Mistake, bad_user
from tests.faults.observed import QUIET_SECONDS, observe
from tests.faults.rig import Rig
from tests.faults.scenarios import SCENARIOS, Course
from tests.faults.traffic import Ledger

CAUGHT_BY = {
    Mistake.CLOCK: {every_hold_is_a_cart_line},
    Mistake.LATE_UNDO: {every_hold_is_a_cart_line},
    Mistake.NO_SETTLING: {every_hold_is_a_cart_line, every_change_is_told},
    Mistake.NO_COMPARE: {carts_hold_what_was_committed, versions_have_no_gap},
    Mistake.BACKWARDS: {reads_are_not_behind},
    Mistake.NO_EFFECTS: {every_change_is_told},
    Mistake.EARLY_RELEASE: {every_hold_is_a_cart_line},
    Mistake.WHOLE_QUANTITY: {every_hold_is_a_cart_line},
    Mistake.NO_TOMBSTONE: {reads_are_not_behind},
}
BAD_BUILDS_PATIENCE = 3.0
"""Seconds that a bad build is given to get quiet, which it may never do."""


async def go_through(
    rig: Rig, mistake: Mistake, user_id: str, together: asyncio.Barrier, patience: float
) -> list[Violation]:
    """The violations that a course of events ends with."""
    ledger = Ledger(rig, is_clouded=lambda *_: False)
    await ledger.stock_up({"lamp": 100})
    await SCENARIOS[mistake](Course(rig, ledger, user_id, together))
    return violations(await observe(rig, ledger, [], patience=patience))


@pytest.mark.parametrize("mistake", list(Mistake))
async def test_a_known_mistake_is_caught_and_the_good_build_is_not(
    rig: Rig, mistake: Mistake
) -> None:
    together = asyncio.Barrier(2)
    bad_one = bad_user(mistake, "user")
    good, bad = await asyncio.gather(
        go_through(rig, mistake, "good-user", together, QUIET_SECONDS),
        go_through(rig, mistake, bad_one, together, BAD_BUILDS_PATIENCE),
    )
    assert [str(violation) for violation in good] == []
    assert {violation.invariant for violation in bad if violation.user_id == bad_one} >= {
        invariant.__name__ for invariant in CAUGHT_BY[mistake]
    }
