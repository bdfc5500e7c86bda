"""What to do next about a saga, from all that is known of it."""

import shlex
from typing import TYPE_CHECKING

from models.outcomes import Outcome
from ops.connections import NAMES
from ops.filters import ENDED_FROM_OUTSIDE, RunState
from ops.sagas import SagaSummary, Stored
from ops.times import stamp

if TYPE_CHECKING:
    from ops.report import SagaReport

PATIENCE_SECONDS = 15.0
"""A saga that runs this much longer than its deadline waits for something."""


def advice(report: "SagaReport", *, deadline: float) -> list[str]:
    """What to do next, the most urgent first; `deadline` is the time that a saga has."""
    saga = report.saga
    lines = [f"{NAMES[name]} could not be asked: see `cart doctor`" for name in report.unasked]
    if saga is not None and saga.running:
        return [*lines, _running(saga, report, deadline)]
    if report.key is not None:
        user = shlex.quote(report.key.user_id)
        lines += [
            f"Effects are pending at relay {relay}: see `cart ops pending --store "
            f"{report.key.store_id} --user {user}`; `cart ops retry {relay}` tries now"
            for relay in dict.fromkeys(effect.relay for effect in report.effects)
        ]
    if report.holds is not None and "mongodb" not in report.unasked and not report.effects:
        lines += _mismatches(report)
    if saga is None:
        return lines or ["Nothing: the cart and its reservations agree"]
    if saga.state is Outcome.ABORTED:
        lines.append("It was undone and changed nothing; the same key may try again")
    elif saga.state in ENDED_FROM_OUTSIDE:
        lines += _stopped(saga)
    return lines or ["Nothing: it has ended, and the cart and its reservations agree"]


def _running(saga: SagaSummary, report: "SagaReport", deadline: float) -> str:
    if saga.attention:
        return (
            "It waits for MongoDB to say whether its change was stored: see `cart doctor`. It "
            "continues by itself; nothing needs to be aborted"
        )
    if saga.seconds(report.at) < deadline + PATIENCE_SECONDS:
        return f"It is running: `cart ops wait {saga.cart_word}`; it is undone after {deadline:g} s"
    return (
        "It is late: `cart doctor` shows whether a worker runs; "
        f"`cart ops abort {saga.cart_word} --reason WHY` undoes it"
    )


_ENDED = {
    RunState.FAILED: "It failed because of a defect, and the client was asked to try again",
    RunState.TIMED_OUT: "It ran longer than Temporal lets it, and was stopped without an undo",
    RunState.TERMINATED: "It was terminated, which stops a run without an undo",
    RunState.CANCELED: "Its cancellation was requested",
}
_STORED = {
    Stored.YES: "Its change is stored and stays",
    Stored.NO: "Its change is not stored: it changed nothing",
    Stored.UNDECIDED: (
        "It has no record yet: a worker may still store the change; otherwise the watch records "
        "it as aborted and releases its units, mostly within a minute"
    ),
    Stored.UNKNOWN: "Only MongoDB knows whether its change is stored",
}


def _stopped(saga: SagaSummary) -> list[str]:
    """A run that did not end by itself. Its record says whether its change is stored."""
    lines = [
        _ENDED[RunState(saga.state)] + (f": {saga.reason}" if saga.reason else ""),
        _STORED[saga.stored or Stored.UNKNOWN],
    ]
    if saga.acknowledged is not None:
        one = saga.acknowledged
        lines.append(f"Acknowledged by {one.by} at {stamp(one.at)}: {one.reason}")
    elif saga.state is not RunState.CANCELED:
        lines.append(
            f"Once you have looked: `cart ops ack {saga.run_id} --reason WHY` takes it off "
            "`cart ops stuck`"
        )
    return lines


def _mismatches(report: "SagaReport") -> list[str]:
    holds = report.holds or {}
    wanted = report.cart.held_units if report.cart else {}
    store = report.key.store_id if report.key else "STORE"
    return [
        f"The inventory holds {holds.get(product, 0)} x {product} for this user, the cart needs "
        f"{wanted.get(product, 0)}: unless another saga of the cart is running, "
        f"`cart reconcile --store {store} --fix` repairs it"
        for product in sorted({*holds, *wanted})
        if holds.get(product, 0) != wanted.get(product, 0)
    ]
