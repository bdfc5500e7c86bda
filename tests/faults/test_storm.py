"""Events arrive while the consumer, its servers and links fail; `make storm` has thousands."""

from tests.faults.rig import FaultRig
from tests.faults.storm_block import run_storm_block

SEED, EVENTS, FAULTS = 20260127, 70, 6


async def test_each_event_has_its_effect_once_whatever_breaks(rig: FaultRig) -> None:
    block = await run_storm_block(rig, seed=SEED, number=0, events=EVENTS, faults=FAULTS)
    assert [str(violation) for violation in block.violations] == []
    assert block.count.total() >= EVENTS
    assert block.racing > 0
    assert len(block.hits) >= FAULTS - 1
