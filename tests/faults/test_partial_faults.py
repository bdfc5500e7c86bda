"""Random mixes of partial faults: what is not sick is not affected.

A build whose circuit does not tell products apart shows that the comparison notices it.
"""

import random

import pytest

from tests.faults.known_bugs import KnownBug
from tests.faults.partial.faults import INVENTORY, random_mix
from tests.faults.partial.mix import SUCCESS, Mix
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


async def test_a_circuit_that_does_not_tell_products_apart_is_detected(rig: FaultRig) -> None:
    [failing] = [one for one in INVENTORY if str(one) == "inventory: reserve answer 500"]
    mix = Mix(rig, [failing], random.Random(1), bug=KnownBug.ONE_CIRCUIT)
    await mix.run()
    [compared] = mix.compared
    assert not compared.is_alike
    assert compared.success < compared.usual_success * SUCCESS, str(compared)
