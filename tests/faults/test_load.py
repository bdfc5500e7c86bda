"""Thirty shoppers compete for ten units; `make load` has a hundred."""

from tests.faults.load import load
from tests.faults.rig import FaultRig

BUYERS, REQUESTS = 30, 4


async def test_shoppers_who_compete_for_ten_units_never_violate_an_invariant(rig: FaultRig) -> None:
    replies_by_kind, found = await load(
        rig, keep_going=lambda done: done < REQUESTS, clients=BUYERS
    )
    assert [str(violation) for violation in found] == []
    assert replies_by_kind["add 201"] > 0, replies_by_kind
