"""A hundred buyers of ten units who add, change, remove and clear at once."""

from tests.faults.load import CLIENTS, load
from tests.faults.rig import Rig

REQUESTS_A_BUYER = 6


async def test_a_crowd_that_wants_the_same_leaves_everything_in_agreement(rig: Rig) -> None:
    crowd, found = await load(rig, clients=CLIENTS, goes_on=lambda done: done < REQUESTS_A_BUYER)
    assert [str(violation) for violation in found] == []
    assert crowd.statuses["add 201"] > 0, crowd.statuses
