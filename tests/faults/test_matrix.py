"""Any fault at any moment: three hundred sagas, thirty faults, and every invariant."""

from tests.faults.inject import CONVERGE_SECONDS
from tests.faults.matrix import run_block
from tests.faults.rig import Rig

SEED = 20260127
SAGAS, FAULTS = 300, 32


async def test_whatever_breaks_whenever_nothing_is_lost_or_done_twice(rig: Rig) -> None:
    block = await run_block(rig, seed=SEED, number=0, sagas=SAGAS, faults=FAULTS)
    assert [str(violation) for violation in block.violations] == []
    assert len(block.hits) >= 30
    assert block.quiet_after < CONVERGE_SECONDS
