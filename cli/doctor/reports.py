"""What the processes report: that they run, which calls are slow or down, what keeps failing."""

import socket
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

from cli.doctor.listeners import process
from cli.doctor.results import CheckReport, Part
from models.documents import Cart
from models.reports import CallReport, FailingSubject, ProcessReport
from ops.times import ago, span
from ops.words import brief
from telemetry.call_times import is_slow

YOUNG = timedelta(seconds=20)
SHOWN = 3
_OURS = {"$in": ["api", "worker", "consumer"]}
_IN_AN_ADD = ("mongodb", "temporal", "reserve")

Database = AsyncDatabase[dict[str, Any]]


async def check_reports(database: Database, report: CheckReport) -> None:
    """The latest reports of all processes, each kind of call at its worst."""
    found = [one async for one in database[ProcessReport.Settings.name].find({"process": _OURS})]
    now = datetime.now(UTC)
    recent = [one for one in found if now - one["at"] < YOUNG]
    _report_processes(found, recent, now, report)
    usual = _usual(found)
    calls = [_call(one, call, usual) for one in recent for call in one["calls"]]
    if calls:
        _report_calls(calls, report)
        await _report_failing(database, calls, report)


async def recent_processes(database: Database) -> list[str]:
    """The kinds of the processes that report now, one for each process."""
    since = {"process": _OURS, "at": {"$gt": datetime.now(UTC) - YOUNG}}
    return [one["process"] async for one in database[ProcessReport.Settings.name].find(since)]


def _usual(found: list[dict[str, Any]]) -> dict[tuple[str, str, str], float]:
    """By kind of process, dependency and call: the least that a process has as usual.

    A process that was started while a system was slow knows nothing faster.
    """
    usual: dict[tuple[str, str, str], float] = {}
    for one in found:
        for call in one["calls"]:
            key = one["process"], call["dependency"], call["call"]
            if seconds := call.get("usualSeconds"):
                usual[key] = min(seconds, usual.get(key, seconds))
    return usual


def _call(
    process: dict[str, Any], call: dict[str, Any], usual: dict[tuple[str, str, str], float]
) -> CallReport:
    key = process["process"], call["dependency"], call["call"]
    return CallReport.model_validate(call | {"usualSeconds": usual.get(key)})


def _report_processes(
    found: list[dict[str, Any]], recent: list[dict[str, Any]], now: datetime, report: CheckReport
) -> None:
    """Whether each kind of process that has reported at all still does: one that hangs does not."""
    silent = {one["process"]: one for one in sorted(found, key=lambda one: one["at"])}
    for one in recent:
        silent.pop(one["process"], None)
    for kind, last in silent.items():
        host, _, pid = last["_id"].removeprefix(f"{kind} ").rpartition(" ")
        what = f"no {kind} has reported for {ago(last['at'], now)}; the last was {pid} on {host}"
        here = process(int(pid)) if host == socket.gethostname() else None
        if here is not None:
            report.failed(Part.PROCESSES, f"{what}; {here}", here.advice)
        else:
            report.failed(Part.PROCESSES, what, "see its log; is it scaled to 0?")
    if not found:
        report.warn(Part.PROCESSES, "none has reported yet", "start them: `make run`")
    elif not silent:
        kinds = sorted({one["process"] for one in recent})
        report.ok(Part.PROCESSES, f"{len(recent)} report ({', '.join(kinds)})")


def _report_calls(calls: list[CallReport], report: CheckReport) -> None:
    down = {f"{one.dependency} {one.call}": one for one in calls if one.down}
    slow = {f"{one.dependency} {one.call}": one for one in calls if _is_slow(one)}
    refused = {f"{one.dependency} {one.call}": one for one in calls if one.refused}
    problems = [(one, f"{name} fails: {brief(one.down or '')}") for name, one in down.items()]
    problems += [
        (one, f"{name} is refused: {brief(one.refused or '')}") for name, one in refused.items()
    ]
    for one, what in problems:
        if one.dependency in _IN_AN_ADD or one.call in _IN_AN_ADD:
            report.failed(Part.CALLS, what, "see that system; docs/runbook.md")
        else:
            report.warn(Part.CALLS, what, "carts can be changed without it; see that system")
    for name, one in slow.items():
        if name not in down:
            what = f"{name} takes {span(one.now_seconds or 0)}, {_usually(one)}"
            report.warn(Part.CALLS, what, "see the load, the log and the disk of that system")
    if not problems and not slow:
        slowest = max(calls, key=lambda one: one.now_seconds or 0)
        what = "none is slow or down"
        if slowest.now_seconds is not None:
            took = span(slowest.now_seconds)
            name = f"{slowest.dependency} {slowest.call}"
            what += f"; the slowest, {name}, takes {took}, {_usually(slowest)}"
        report.ok(Part.CALLS, what)


def _is_slow(one: CallReport) -> bool:
    return one.now_seconds is not None and is_slow(one.now_seconds, one.usual_seconds)


def _usually(one: CallReport) -> str:
    if one.usual_seconds is None:
        return "what is usual is not known yet"
    return f"usually {span(one.usual_seconds)}"


async def _report_failing(database: Database, calls: list[CallReport], report: CheckReport) -> None:
    """Each kind of call that fails for some subjects, and not for all."""
    everything_fails = {(one.dependency, one.call) for one in calls if one.down}
    subjects: dict[tuple[str, str], dict[str, FailingSubject]] = {}
    total: dict[tuple[str, str], int] = {}
    for one in calls:
        key = one.dependency, one.call
        if one.failing and key not in everything_fails:
            subjects.setdefault(key, {}).update({each.subject: each for each in one.failing})
            total[key] = max(total.get(key, 0), one.failing_subjects)
    for key, named in subjects.items():
        report.warn(Part.FAILING, *await _failing(database, key, [*named.values()], total[key]))
    if not subjects:
        report.ok(Part.FAILING, "no product, partition or event")


async def _failing(
    database: Database, key: tuple[str, str], named: list[FailingSubject], total: int
) -> tuple[str, str]:
    dependency, call = key
    named.sort(key=lambda one: -one.for_seconds)
    lines = [
        f"{one.subject} ({one.failures} times in {span(one.for_seconds)}: {brief(one.reason)})"
        for one in named[:SHOWN]
    ]
    if (more := max(total, len(named)) - len(lines)) > 0:
        lines.append(f"and {more} more")
    shown = "; ".join(lines)
    if call == "consume":
        return f"events wait: {shown}", await _about_cart(database, named[0].subject)
    what = f"{dependency} {call} fails for {shown}"
    if dependency != "inventory":
        return what, f"see {dependency}: its log has more about it; others are not affected"
    store, _, product = named[0].subject.partition("/")
    return (
        what,
        "correct that product or store at the inventory; "
        f"`cart doctor --inventory {store} {product}` tries it",
    )


async def _about_cart(database: Database, subject: str) -> str:
    """The command that shows what holds the cart of an event."""
    advice = "see the reason; the event is parked after 10 minutes if its cart stays busy"
    place, _, cart_id = subject.rpartition("cart/")
    if not place or not ObjectId.is_valid(cart_id):
        return advice
    cart = await database[Cart.Settings.name].find_one({"_id": ObjectId(cart_id)})
    if cart is None:
        return advice
    owner = f"{cart['storeId']}/{cart['userId']}"
    return f"`cart ops show {owner}` says what holds the cart; `cart ops abort {owner}` ends it"
