"""Random mixes of partial faults: what is not sick is not affected."""

import random

import pytest

from tests.faults.partial.faults import random_mix
from tests.faults.partial.mix import SLOWER, Mix
from tests.faults.rig import FaultRig

SEEDS = (1, 2)
SUCCESS = 0.99


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_is_not_sick_is_not_affected(rig: FaultRig, seed: int) -> None:
    rng = random.Random(seed)
    faults = random_mix(rng)
    noticed = await Mix(rig, faults, rng, sick_store=seed % 2 == 0).run()
    shown = [str(fault) for fault in faults]
    assert noticed.violations == [], shown
    assert noticed.success >= SUCCESS, (noticed.statuses, shown)
    assert noticed.ratios[-1] <= SLOWER, (noticed.ratios, shown)
