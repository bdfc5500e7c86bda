"""Random mixes of partial faults: what is not sick is not affected."""

import random

import pytest

from tests.faults.partial.faults import random_mix
from tests.faults.partial.mix import Mix
from tests.faults.rig import FaultRig

SEEDS = (1, 2)


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_is_not_sick_is_not_affected(rig: FaultRig, seed: int) -> None:
    rng = random.Random(seed)
    mix = Mix(rig, random_mix(rng), rng, sick_store=seed % 2 == 0)
    await mix.run()
    sick = [str(fault) for fault in mix.faults]
    assert mix.violations == [], sick
    assert mix.compared[-1].is_alike, ([str(one) for one in mix.compared], sick)
