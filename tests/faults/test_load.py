"""Buyers of ten units who add, change, remove and clear at once; `make load` has a hundred."""

from tests.faults.load import load
from tests.faults.rig import Rig

BUYERS, WISHES = 30, 4


async def test_a_crowd_that_wants_the_same_leaves_everything_in_agreement(rig: Rig) -> None:
    told, found = await load(rig, goes_on=lambda done: done < WISHES, clients=BUYERS)
    assert [str(violation) for violation in found] == []
    assert told["add 201"] > 0, told
