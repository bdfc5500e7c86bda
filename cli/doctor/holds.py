"""Holds: what the watch over them (`activities.upkeep.watch`) has found, and how fresh that is.

Comparing all carts takes too long for a check, so the worker does it by the clock.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from cli.doctor.findings import Report
from cli.ops.tables import span
from models.messages import DriftKind
from models.upkeep.watch import HOLDS, HoldWatch
from workflows.ids import WATCH_SCHEDULE

PART = "holds"
OLD_AFTER = timedelta(seconds=60)
SHOWN = 3
_SEE = f"the worker compares them by the clock: see the schedule {WATCH_SCHEDULE} in the Web UI"
_WORDS = {
    DriftKind.ORPHANED_HOLD: "a leaked hold, which no cart has",
    DriftKind.MISSING_HOLD: "a cart without its hold",
}


async def check_holds(database: AsyncDatabase[dict[str, Any]], report: Report) -> None:
    """No cart holds more or less than it has, as far as was seen."""
    watch = await database[HoldWatch.Settings.name].find_one({"_id": HOLDS})
    if watch is None:
        report.warn(PART, "carts and holds have not been compared yet", _SEE)
        return
    now = datetime.now(UTC)
    age = now - watch["at"]
    if watch["drifts"]:
        report.failed(PART, *_drifts(watch))
    elif age > OLD_AFTER:
        report.warn(
            PART, f"carts and holds were last compared {span(age.total_seconds())} ago", _SEE
        )
    else:
        report.ok(PART, _compared(watch, now))


def _drifts(watch: dict[str, Any]) -> tuple[str, str]:
    drifts = watch["drifts"]
    told = [
        f"{one['store_id']}/{one['user_id']}, {one['drift']['product_id']}: "
        f"{one['drift']['detail']} ({_WORDS[DriftKind(one['drift']['kind'])]})"
        for one in drifts[:SHOWN]
    ]
    if hidden := len(drifts) - len(told):
        told.append(f"and {hidden} more{', at least' if watch['more'] else ''}")
    stores = sorted({one["store_id"] for one in drifts})
    where = f" --store {stores[0]}" if len(stores) == 1 else ""
    return "; ".join(told), f"`cart reconcile{where}` looks at all, and repairs with `--fix`"


def _compared(watch: dict[str, Any], now: datetime) -> str:
    last, whole = watch["last"], watch["whole"]
    ago = span((now - last["began"]).total_seconds())
    if watch["position"] is None:
        return f"all {last['carts']} carts and their holds agreed {ago} ago"
    part = f"{last['carts']} carts and their holds agree; that is a part of them, begun {ago} ago"
    if whole is None:
        return f"{part}, and `cart reconcile` looks at all"
    ago = span((now - whole["began"]).total_seconds())
    return f"{part}; so did all {whole['carts']} in the pass that began {ago} ago"
