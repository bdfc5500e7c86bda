"""The invariants detect each known bug, and find nothing in the correct build.

`test_merge_faults` has the bugs of merges.
"""

import asyncio

import pytest

from tests.faults.checkout_invariants import (
    a_frozen_cart_does_not_change,
    a_paid_order_has_its_units,
)
from tests.faults.hold_watch import paused_watch
from tests.faults.invariants import (
    Violation,
    carts_hold_what_was_committed,
    every_hold_is_a_cart_line,
    reads_are_never_stale,
    replies_match_what_was_committed,
    versions_have_no_gap,
    violations,
    what_is_not_sick_is_not_affected,
)
from tests.faults.known_bug_scenarios import SCENARIOS, BugScenario
from tests.faults.known_bugs import KnownBug, buggy_user
from tests.faults.observed_state import QUIET_SECONDS, observe
from tests.faults.published_event_invariants import every_change_is_published
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger

DETECTED_BY = {
    KnownBug.CLOCK: {every_hold_is_a_cart_line},
    KnownBug.LATE_UNDO: {every_hold_is_a_cart_line},
    KnownBug.NO_SETTLING: {every_hold_is_a_cart_line, carts_hold_what_was_committed},
    KnownBug.NO_COMPARE: {carts_hold_what_was_committed, versions_have_no_gap},
    KnownBug.NO_EFFECTS: {every_change_is_published},
    KnownBug.EARLY_RELEASE: {every_hold_is_a_cart_line},
    KnownBug.WHOLE_QUANTITY: {every_hold_is_a_cart_line},
    KnownBug.TRUSTS_REDIS: {reads_are_never_stale},
    KnownBug.LOOSE_DELETE: {carts_hold_what_was_committed, every_hold_is_a_cart_line},
    KnownBug.RECORD_OF_RUN: {every_hold_is_a_cart_line},
    KnownBug.UNRECORDED_REFUSAL: {replies_match_what_was_committed},
    KnownBug.FORGOTTEN: {every_hold_is_a_cart_line},
    KnownBug.COUNTS_ANSWERS: {what_is_not_sick_is_not_affected},
    KnownBug.ONE_CIRCUIT: {what_is_not_sick_is_not_affected},
    KnownBug.PART_OF_BATCH: {every_hold_is_a_cart_line},
    KnownBug.STOPS_AT_FAILURE: {what_is_not_sick_is_not_affected},
    KnownBug.NEVER_FROZEN: {a_frozen_cart_does_not_change},
    KnownBug.UNBOOKED: {a_paid_order_has_its_units},
}
BUGGY_BUILD_PATIENCE = 3.0
"""Seconds that a buggy build has to become quiet, which it may never do."""


async def violations_after_scenario(
    rig: FaultRig, bug: KnownBug, user_id: str, together: asyncio.Barrier, patience: float
) -> list[Violation]:
    """The violations after a scenario."""
    ledger = Ledger(rig)
    await ledger.stock_up({"lamp": 100, "desk": 100})
    await SCENARIOS[bug](BugScenario(rig, ledger, user_id, together))
    watch = bug is KnownBug.FORGOTTEN
    return violations(await observe(rig, ledger, [], patience=patience, watch=watch))


@pytest.mark.parametrize("bug", list(SCENARIOS))
async def test_a_known_bug_is_detected_and_the_correct_build_has_no_violation(
    rig: FaultRig, bug: KnownBug
) -> None:
    together = asyncio.Barrier(2)
    bad_one = buggy_user(bug, "user")
    async with paused_watch(rig):  # it would repair what the bugs have done
        good, bad = await asyncio.gather(
            violations_after_scenario(rig, bug, "good-user", together, QUIET_SECONDS),
            violations_after_scenario(rig, bug, bad_one, together, BUGGY_BUILD_PATIENCE),
        )
    assert [str(violation) for violation in good] == []
    assert {violation.invariant for violation in bad if violation.user_id == bad_one} >= {
        invariant.__name__ for invariant in DETECTED_BY[bug]
    }
