"""Events in, and the consumer, its servers and their links broken; `make storm` has thousands."""

from tests.faults.heard import run_block
from tests.faults.rig import Rig

SEED, EVENTS, FAULTS = 20260127, 70, 6


async def test_whatever_breaks_each_event_has_its_effect_once(rig: Rig) -> None:
    block = await run_block(rig, seed=SEED, number=0, events=EVENTS, faults=FAULTS)
    assert [str(violation) for violation in block.violations] == []
    assert block.count.total() >= EVENTS
    assert block.racing > 0
    assert len(block.hits) >= FAULTS - 1
