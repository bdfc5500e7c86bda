"""Repairs by the watch over reservations hide no bug: only a terminated run explains one."""

from typing import Any, cast

import pytest

from models.operations import RepairCart
from tests.faults.invariants import only_terminated_runs_need_a_repair
from tests.faults.observed_state import ObservedState
from tests.faults.shoppers import Ledger

REPAIR = {
    "state": "committed",
    "operation": RepairCart.name,
    "userId": "user",
    "answer": {"body": "{}"},
}
TERMINATED = {"state": "aborted", "operation": "AddItem", "reason": "terminated"}


@pytest.mark.parametrize(
    ("others", "found"),
    [([], 1), ([TERMINATED | {"userId": "another"}], 1), ([TERMINATED | {"userId": "user"}], 0)],
)
def test_a_repair_without_a_terminated_run_is_reported(
    others: list[dict[str, Any]], found: int
) -> None:
    observed = ObservedState(Ledger(cast(Any, None)), [])
    observed.records = [REPAIR, *others]
    assert len(list(only_terminated_runs_need_a_repair(observed))) == found
