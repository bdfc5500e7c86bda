"""Thirty buyers compete for ten units under faults; `make load` has a hundred."""

from tests.faults.load_block import run_load
from tests.faults.rig import FaultRig

BUYERS, STEPS, FAULTS, SECONDS = 30, 4, 3, 10.0


async def test_buyers_who_compete_for_ten_units_never_violate_an_invariant(rig: FaultRig) -> None:
    result = await run_load(
        rig,
        seed=1,
        buyers=BUYERS,
        faults=FAULTS,
        seconds=SECONDS,
        keep_going=lambda done: done < STEPS,
    )
    assert [str(violation) for violation in result.violations] == []
    for change in ("add", "check-out", "merge"):
        assert result.changes[change] > 0, result.changes
