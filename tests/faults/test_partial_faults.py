"""Random mixes of partial faults: what is not sick is not affected."""

import random

import pytest

from tests.faults.partial.faults import random_mix
from tests.faults.partial.mix import Mix
from tests.faults.rig import FaultRig

SEEDS = (1, 2, 3)
SUCCESS = 0.99
SLOWER = 1.3
ROUNDS, TRIES = 2, 3


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_is_not_sick_is_not_affected(rig: FaultRig, seed: int) -> None:
    rng = random.Random(seed)
    faults = random_mix(rng)
    ratios = []
    for _ in range(TRIES):  # a machine that does other work, too, may be slow in one window
        noticed = await Mix(rig, faults, rng).run(ROUNDS)
        shown = [str(fault) for fault in faults]
        assert noticed.undone == [], shown
        assert noticed.violations == [], shown
        assert noticed.success >= SUCCESS, (noticed.statuses, shown)
        ratios.append(round(noticed.ratio, 2))
        if noticed.ratio <= SLOWER:
            return
    raise AssertionError(f"well carts are slower: {ratios}, {shown}")
