"""Reservations: the latest comparison of carts with the inventory, and its age.

The worker compares them on a schedule, because comparing all carts takes too long for a check.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from cli.doctor.results import CheckReport, Part
from models.drift import DriftKind
from models.upkeep.watch import HOLDS, HoldWatch
from ops.drift import MEANINGS
from ops.times import ago
from workflows.ids import WATCH_SCHEDULE

OLD_AFTER = timedelta(seconds=60)
SHOWN = 3
_SEE = f"a schedule of the worker compares them: see {WATCH_SCHEDULE} in the Web UI"


async def check_reservations(database: AsyncDatabase[dict[str, Any]], report: CheckReport) -> None:
    """No cart has more or fewer units reserved than it contains, as far as was compared."""
    watch = await database[HoldWatch.Settings.name].find_one({"_id": HOLDS})
    if watch is None:
        report.warn(Part.HOLDS, "carts and holds have not been compared yet", _SEE)
        return
    now = datetime.now(UTC)
    if watch["drifts"]:
        report.failed(Part.HOLDS, *_drifts(watch))
    elif now - watch["at"] > OLD_AFTER:
        report.warn(
            Part.HOLDS, f"carts and holds were last compared {ago(watch['at'], now)} ago", _SEE
        )
    else:
        report.ok(Part.HOLDS, _compared(watch, now))


def _drifts(watch: dict[str, Any]) -> tuple[str, str]:
    """The first drifts with the number of others, and the command that repairs them."""
    drifts = watch["drifts"]
    lines = [
        f"{one['store_id']}/{one['user_id']}, {one['drift']['product_id']}: "
        f"{one['drift']['detail']} ({MEANINGS[DriftKind(one['drift']['kind'])]})"
        for one in drifts[:SHOWN]
    ]
    if hidden := len(drifts) - len(lines):
        lines.append(f"and {hidden} more{', at least' if watch['more'] else ''}")
    stores = sorted({one["store_id"] for one in drifts})
    where = f" --store {stores[0]}" if len(stores) == 1 else ""
    return "; ".join(lines), f"`cart reconcile{where}` lists all drifts; `--fix` repairs them"


def _compared(watch: dict[str, Any], now: datetime) -> str:
    last, whole = watch["last"], watch["whole"]
    started = ago(last["began"], now)
    if watch["position"] is None:
        return f"all {last['carts']} carts and their holds agreed {started} ago"
    part = f"{last['carts']} carts and their holds agree so far, {started} into the current pass"
    if whole is None:
        return f"{part}; `cart reconcile` compares all"
    return f"{part}; all {whole['carts']} agreed in the pass of {ago(whole['began'], now)} ago"
