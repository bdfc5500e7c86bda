"""Pending effects, by relay and by what fails, and the stores that operators have paused."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from adapters.mongo.outbox import waiting_since
from cli.doctor.results import CheckReport, Part
from models.documents import OperationRecord
from models.effects import EffectKind
from models.intake import IntakeHold
from ops.times import ago, stamp
from ops.words import brief

OLD_AFTER = timedelta(seconds=30)
LOOKED_AT = 100
SHOWN = 3
_FIELDS = {"due": 1, "storeId": 1, "effects": {"$slice": 5}, "operation": 1}

Database = AsyncDatabase[dict[str, Any]]


async def check_pending(database: Database, report: CheckReport, *, shards: int) -> None:
    """Effects that have waited for too long: how many, since when, of which relays, and why."""
    collection = database[OperationRecord.Settings.name]
    now = datetime.now(UTC)
    count, oldest = 0, now
    described: Counter[str] = Counter()
    tries: Counter[str] = Counter()
    for kind in EffectKind:
        waiting, first = await waiting_since(
            collection, kind, before=now - OLD_AFTER, shown=_FIELDS, limit=LOOKED_AT
        )
        count += waiting
        for record in first:
            oldest = min(oldest, record["due"][kind]["since"])
            about = _described(kind, record, shards)
            described[about] += 1
            tries[about] = max(tries[about], record["due"][kind].get("attempts", 0))
    if not count:
        report.ok(Part.PENDING, f"none older than {OLD_AFTER.seconds} s")
        return
    lines = [f"{about} ({tries[about]} tries)" for about, _ in described.most_common(SHOWN)]
    if (more := len(described) - len(lines)) > 0:
        lines.append(f"and {more} more")
    report.warn(
        Part.PENDING,
        f"{count} {'operation has' if count == 1 else 'operations have'} events to publish or "
        f"units to release that are older than {OLD_AFTER.seconds} s, the oldest since "
        f"{stamp(oldest)}: {'; '.join(lines)}",
        "`cart ops pending`; correct what fails, then `cart ops retry RELAY --reason WHY`; a "
        "paused relay: `cart ops resume RELAY`",
    )


def _described(kind: EffectKind, record: dict[str, Any], shards: int) -> str:
    """The relay of a pending effect, what it is about, and its problem."""
    due = record["due"][kind]
    waiting = [
        one for one in record.get("effects", ()) if one["kind"] == kind and not one.get("doneAt")
    ]
    about = record["storeId"]
    if waiting:
        about = waiting[0].get("topic") or f"{about}/{waiting[0].get('productId')}"
    problem = due.get("problem")
    why = brief(problem) if problem else "not tried: the relay is paused, or no worker runs"
    return f"relay {kind}/{due['bucket'] % shards}, {about}: {why}"


async def check_paused(database: Database, report: CheckReport) -> None:
    """Stores whose carts cannot be changed, because an operator has paused them."""
    holds = database[IntakeHold.Settings.name].find({"active": True}, sort=[("at", 1)])
    paused = [hold async for hold in holds]
    if not paused:
        report.ok(Part.PAUSED, "none")
        return
    now = datetime.now(UTC)
    lines = [
        f"{hold['storeId']} for {ago(hold['at'], now)}, by {hold['by']}: {brief(hold['reason'])}"
        for hold in paused[:SHOWN]
    ]
    if (more := len(paused) - len(lines)) > 0:
        lines.append(f"and {more} more")
    advice = f"when that is over: `cart ops release-intake --store {paused[0]['storeId']}`"
    report.warn(Part.PAUSED, "; ".join(lines), advice)
