"""Everything known of one saga: its run, its cart, its reservations and its pending effects."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from adapters.inventory import InventoryClient
from cli.ops.connections import Connections
from cli.ops.effects import PendingEffect, pending_effects
from cli.ops.filters import RunState
from cli.ops.history import TERMINATED, HistoryEntry, entries, pending_steps, started_at
from cli.ops.relays import details
from cli.ops.sagas import SagaSummary
from models.cart import CartKey
from models.documents import Cart, OperationRecord
from models.errors import DependencyUnavailable
from workflows import ids
from workflows.connection import RPC_TIMEOUT

INVENTORY_SECONDS = 2.0
PAGES_MAX = 20
EFFECTS_MAX = 100

Units = dict[str, int]
"""Product -> units."""


@dataclass
class SagaReport:
    """`unknown` names the systems that did not answer; what they know is then None or empty.

    `holds` are the units that the inventory has reserved for the user.
    """

    saga: SagaSummary
    at: datetime
    record: OperationRecord | None = None
    says: str = ""
    steps: list[HistoryEntry] = field(default_factory=list)
    cart: Cart | None = None
    holds: Units | None = None
    effects: list[PendingEffect] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)

    @property
    def lines(self) -> Units:
        """The units in the cart."""
        if self.cart is None:
            return {}
        return {line.product_id: line.product_quantity for line in self.cart.cart_items}

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        cart, record = self.cart, self.record
        return {
            **self.saga.as_dict(self.at),
            "sagaId": record.saga_id if record else None,
            "reason": record.reason if record else None,
            "recorded": record.state if record else None,
            "says": self.says,
            "steps": [step.as_dict() for step in self.steps],
            "cart": None
            if cart is None
            else {
                "cartId": str(cart.id),
                "version": cart.version,
                "updatedAt": cart.updated_at,
                "lines": self.lines,
            },
            "holds": self.holds,
            "pending": [effect.as_dict() for effect in self.effects],
            "unknown": self.unknown,
            "next": self.next,
        }


async def collect(connections: Connections, saga: SagaSummary) -> SagaReport:
    """Asks every system; one that does not answer is named in `unknown`."""
    report = SagaReport(saga, at=datetime.now(UTC))
    started = await _from_temporal(connections, report)
    await asyncio.gather(
        _from_mongodb(connections, report, started), _from_inventory(connections, report)
    )
    return report


async def _from_temporal(connections: Connections, report: SagaReport) -> datetime:
    """Reads the run; returns when the saga started."""
    saga = report.saga
    handle = connections.temporal.get_workflow_handle(saga.workflow_id, run_id=saga.run_id)
    history = await handle.fetch_history(rpc_timeout=RPC_TIMEOUT)
    report.steps = entries(history)
    if saga.running:
        raw = (await handle.describe(rpc_timeout=RPC_TIMEOUT)).raw_description
        report.steps += pending_steps(raw.pending_activities)
    if saga.state is RunState.TERMINATED:
        notes = [step.note for step in report.steps if step.what == TERMINATED]
        report.says = " ".join([TERMINATED, *notes])
    else:
        report.says = await details(connections, saga.workflow_id, saga.run_id)
    return started_at(history)


async def _from_mongodb(connections: Connections, report: SagaReport, started: datetime) -> None:
    saga = report.saga
    if saga.store_id is None or saga.user_id is None:
        return
    try:
        report.record, report.cart, pending = await asyncio.gather(
            connections.operations.record(ids.record_id(saga.operation_id or "", started)),
            connections.carts.cart(CartKey(saga.store_id, saga.user_id)),
            connections.outbox.pending_of(
                store_id=saga.store_id, user_id=saga.user_id, limit=EFFECTS_MAX
            ),
        )
    except DependencyUnavailable:
        report.unknown.append("mongodb")
        return
    report.effects = pending_effects(connections, pending)


async def _from_inventory(connections: Connections, report: SagaReport) -> None:
    """Reads the user's reservations; an inventory that ignores `userId` lists the whole store."""
    saga = report.saga
    if saga.store_id is None or saga.user_id is None:
        return
    inventory = InventoryClient.of(connections.settings, timeout_seconds=INVENTORY_SECONDS)
    holds: Units = {}
    cursor: str | None = None
    try:
        for _ in range(PAGES_MAX):
            page = await inventory.reservations(saga.store_id, user_id=saga.user_id, cursor=cursor)
            for row in page.reservations:
                if row.user_id == saga.user_id:
                    holds[row.product_id] = holds.get(row.product_id, 0) + row.quantity
            cursor = page.cursor
            if cursor is None:
                report.holds = holds
                return
        report.unknown.append("inventory")  # more reservations than are read here
    except DependencyUnavailable:
        report.unknown.append("inventory")
    finally:
        await inventory.close()
