"""The fault matrix: three hundred sagas, thirty faults at random moments, all invariants."""

from tests.faults.fault_injection import CONVERGE_SECONDS
from tests.faults.matrix_block import run_matrix_block
from tests.faults.rig import FaultRig

SEED = 20260127
# There are more sagas than requests, since some requests need an add first.
REQUESTS, SAGAS, FAULTS = 260, 300, 34


async def test_a_fault_at_any_moment_loses_and_duplicates_nothing(rig: FaultRig) -> None:
    block = await run_matrix_block(rig, seed=SEED, number=0, sagas=REQUESTS, faults=FAULTS)
    assert [str(violation) for violation in block.violations] == []
    assert block.sagas >= SAGAS
    assert len(block.hits) >= 30
    assert block.quiet_after < CONVERGE_SECONDS
