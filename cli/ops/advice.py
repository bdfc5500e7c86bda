"""What an operator should do about a saga."""

from cli.ops.filters import RunState
from cli.ops.report import SagaReport
from models.outcomes import Outcome

PATIENCE_SECONDS = 15.0
"""A saga that runs this much longer than its deadline waits for something."""


def advice(report: SagaReport, *, deadline: float) -> list[str]:
    """What to do next, the most urgent first; `deadline` is the time that a saga has."""
    saga = report.saga
    lines = [f"{system} does not answer: see `cart doctor`" for system in report.unknown]
    if saga.running:
        return [*lines, _running(report, deadline)]
    lines += [
        f"Effects are pending at relay {relay}: see `cart ops pending --store "
        f"{saga.store_id} --user {saga.user_id}`; `cart ops retry {relay}` tries now"
        for relay in dict.fromkeys(effect.relay for effect in report.effects)
    ]
    if report.holds is not None and "mongodb" not in report.unknown and not report.effects:
        lines += _mismatches(report)
    if saga.state is Outcome.ABORTED:
        lines.append("It was undone and changed nothing; the same key may try again")
    elif saga.state is RunState.TERMINATED:
        lines.append(_terminated(report))
    elif saga.state is RunState.FAILED:
        lines.append(
            "It failed unexpectedly, and the client was asked to try again: see the failure in "
            "the Web UI, and the cart and its reservations above"
        )
    return lines or ["Nothing: it has ended, and the cart and its reservations agree"]


def _running(report: SagaReport, deadline: float) -> str:
    saga = report.saga
    if saga.attention:
        return (
            "It waits for MongoDB to say whether its change was stored: see `cart doctor`. It "
            "continues by itself; nothing needs to be aborted"
        )
    if saga.seconds(report.at) < deadline + PATIENCE_SECONDS:
        return f"It is running: `cart ops wait {saga.cart}`; it is undone after {deadline:g} s"
    return (
        "It is late: `cart doctor` shows whether a worker runs; "
        f"`cart ops abort {saga.cart} --reason WHY` undoes it"
    )


def _terminated(report: SagaReport) -> str:
    """A terminated run is not undone; its record says what it has stored."""
    if "mongodb" in report.unknown:
        return "It was terminated; only MongoDB knows whether its change was stored"
    if report.record is None:
        return (
            "It was terminated and has no record: its change is not stored, unless a worker is "
            "still carrying it out; "
            f"`cart reconcile --store {report.saga.store_id} --fix` releases what it had reserved"
        )
    if report.record.state == "committed":
        return "It was terminated after it had committed: its change is stored and stays"
    return "It was terminated after it was settled as aborted: it changed nothing"


def _mismatches(report: SagaReport) -> list[str]:
    holds, lines = report.holds or {}, report.lines
    return [
        f"The inventory holds {holds.get(product, 0)} x {product} for this user, the cart has "
        f"{lines.get(product, 0)}: unless another saga of the cart is running, "
        f"`cart reconcile --store {report.saga.store_id} --fix` repairs it"
        for product in sorted({*holds, *lines})
        if holds.get(product, 0) != lines.get(product, 0)
    ]
