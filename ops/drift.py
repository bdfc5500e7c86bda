"""Drift: the reservations that differ from their carts, as the watch has found them last."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.drift import DriftKind
from models.upkeep.reconcile import Finding
from models.upkeep.watch import HoldWatch
from ops.connections import Connections

SHOWN_MAX = 100
MEANINGS = {
    DriftKind.ORPHANED_HOLD: "a leaked hold, which no cart has",
    DriftKind.MISSING_HOLD: "a cart without its hold",
}
NOT_COMPARED = "Carts and holds have not been compared yet: see `cart doctor`"
NOTHING = "Carts and holds agree, as far as they were compared"


@dataclass(frozen=True)
class DriftReport:
    """The findings, at most `SHOWN_MAX`, and what to do; `at` is when the watch looked last.

    `more`: there are more than are shown.
    """

    at: datetime | None
    findings: list[Finding]
    more: bool
    next: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "lookedAt": self.at,
            "findings": [
                {
                    "storeId": found.store_id,
                    "userId": found.user_id,
                    "kind": found.drift.kind.value,
                    "productId": found.drift.product_id,
                    "what": f"{found.drift.detail} ({MEANINGS[found.drift.kind]})",
                    "seenAt": found.seen_at,
                }
                for found in self.findings
            ],
            "more": self.more,
            "next": self.next,
        }


async def drift(connections: Connections, store: str | None) -> DriftReport:
    """The drift of one store, or of all; raises `ServerAwayError` without MongoDB."""
    watch: HoldWatch | None = await connections.need("mongodb", connections.watches.latest)
    if watch is None:
        return DriftReport(None, [], more=False, next=NOT_COMPARED)
    found = [one for one in watch.drifts if store in {None, one.store_id}]
    where = f" --store {store}" if store else ""
    repair = f"`cart reconcile{where}` lists all drifts; `--fix` repairs them"
    return DriftReport(
        watch.at,
        found[:SHOWN_MAX],
        more=watch.more or len(found) > SHOWN_MAX,
        next=repair if found else NOTHING,
    )
