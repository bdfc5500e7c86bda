"""What an operation did to each line of a cart, and the latest operations on a cart."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic.alias_generators import to_camel

from models.documents import OperationRecord
from models.effects import ReleaseEffect
from models.outcomes import Outcome
from models.wire import timestamp
from ops.sagas import SagaSummary

LATEST = 10


@dataclass(frozen=True)
class LineOfChange:
    """A product, its units before and after, its price, and the calls to the inventory.

    None is unknown: of an operation that did not commit, the record has no lines.
    """

    product_id: str
    before: int | None
    after: int | None
    price: str | None
    inventory: str
    availability: str | None = None

    @property
    def units(self) -> str:
        """`0 -> 2`; empty when the line did not change."""
        return "" if self.before is None else f"{self.before} -> {self.after}"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {to_camel(name): value for name, value in vars(self).items()}


def lines_of(record: OperationRecord, *, reserved: bool = True) -> list[LineOfChange]:
    """What an operation did, by its record; `reserved` is whether it reserved what it added."""
    calls: dict[str, list[str]] = {}
    for effect in record.effects:
        if isinstance(effect, ReleaseEffect):
            calls.setdefault(effect.product_id, []).append(_released(effect))
    for product_id, units in (record.short or {}).items():
        calls.setdefault(product_id, []).append(f"{units} ordered, not available")
    lines = [
        LineOfChange(
            product_id=line.product_id,
            before=line.before,
            after=line.after,
            price=f"{line.price:.2f}",
            inventory="; ".join(
                [
                    *([f"reserved {line.moved}"] if line.moved > 0 and reserved else []),
                    *calls.pop(line.product_id, []),
                ]
            ),
            availability=line.availability,
        )
        for line in record.lines
    ]
    return lines + [
        LineOfChange(product_id, None, None, None, "; ".join(words))
        for product_id, words in calls.items()
    ]


def _released(release: ReleaseEffect) -> str:
    if release.skipped_because is not None:
        did = "release skipped of"
    else:
        did = "released" if release.done_at else "release pending of"
    order = f" {release.order_id}" if release.order_id else ""
    return f"{did} {release.quantity}: {release.reason}{order}"


def repairs_of(record: OperationRecord) -> list[str]:
    """What a repair found, and did about it; its answer is kept for a day when it is large."""
    body: Any = {}
    with suppress(ValueError):
        body = json.loads((record.answer and record.answer.body) or "{}")
    drifts = body.get("drifts", []) if isinstance(body, dict) else []
    return [f"{one['detail']}: {one['done'] or 'not repaired'}" for one in drifts]


@dataclass(frozen=True)
class LatestChange:
    """One of the latest operations on a cart."""

    at: datetime
    operation: str
    outcome: str
    what: str
    run_id: str

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {to_camel(name): value for name, value in vars(self).items()} | {
            "at": timestamp(self.at)
        }


def latest_changes(
    sagas: Sequence[SagaSummary], records: Sequence[OperationRecord]
) -> list[LatestChange]:
    """Runs from Temporal and committed records from MongoDB together, the latest first."""
    by_run = {record.run_id: record for record in records}
    listed = {saga.run_id for saga in sagas}
    changes = [
        LatestChange(
            at=saga.started_at,
            operation=saga.operation or "",
            outcome=saga.outcome,
            what=_in_words(by_run.get(saga.run_id), saga),
            run_id=saga.run_id,
        )
        for saga in sagas
    ]
    changes += [
        LatestChange(
            at=record.at,
            operation=record.operation,
            outcome=Outcome.COMMITTED,
            what=_in_words(record),
            run_id=record.run_id,
        )
        for record in records
        if record.run_id not in listed
    ]
    return sorted(changes, key=lambda change: change.at, reverse=True)[:LATEST]


def _in_words(record: OperationRecord | None, saga: SagaSummary | None = None) -> str:
    words = [saga.reason] if saga and saga.reason else []
    if record is not None:
        orders = {
            f"order {effect.order_id}"
            for effect in record.effects
            if isinstance(effect, ReleaseEffect) and effect.order_id
        }
        words += [*([record.reason] if record.reason and not orders else []), *sorted(orders)]
        words += [
            f"{line.product_id} {line.availability or line.units}" for line in lines_of(record)
        ]
        words += repairs_of(record)
    elif saga and saga.product_id and not words:
        words = [saga.product_id]
    return ", ".join(words)
