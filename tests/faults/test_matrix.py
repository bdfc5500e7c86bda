"""Any fault at any moment: three hundred sagas, thirty faults, and every invariant."""

from tests.faults.inject import CONVERGE_SECONDS
from tests.faults.matrix import run_block
from tests.faults.rig import Rig

SEED = 20260127
# A buyer that wants something of a cart that has nothing of the kind adds it first.
REQUESTS, SAGAS, FAULTS = 260, 300, 34


async def test_whatever_breaks_whenever_nothing_is_lost_or_done_twice(rig: Rig) -> None:
    block = await run_block(rig, seed=SEED, number=0, sagas=REQUESTS, faults=FAULTS)
    assert [str(violation) for violation in block.violations] == []
    assert block.sagas >= SAGAS
    assert len(block.hits) >= 30
    assert block.quiet_after < CONVERGE_SECONDS
