"""Everything known of a cart and one saga of it: steps, lines, reservations, pending effects."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from temporalio.client import WorkflowHistory

from adapters.inventory import InventoryClient
from models.actor import Actor
from models.cart import CartKey
from models.documents import Cart, OperationRecord
from models.effects import ReleaseEffect
from ops.advice import advice
from ops.changes import (
    LATEST,
    LatestChange,
    LineOfChange,
    latest_changes,
    lines_of,
    repairs_of,
)
from ops.connections import Connections
from ops.endings import explain, record_of
from ops.errors import NotFoundError
from ops.filters import ENDED_FROM_OUTSIDE
from ops.history import HistoryEntry, entries, pending_steps, started_at
from ops.relays import PendingEffect, details, pending_effects
from ops.sagas import SagaSummary, cart_key, changes_of, find_saga, latest_saga, listed
from workflows.connection import RPC_TIMEOUT
from workflows.histories import actor_of, request_of

INVENTORY_SECONDS = 2.0
EFFECTS_MAX = 100

Units = dict[str, int]
"""Product -> units."""


@dataclass
class SagaReport:
    """What is known of a cart and one saga of it; `saga` is None when Temporal has none.

    `unasked` has the systems that could not be asked; what they know is then None or empty. `holds`
    are the units that the inventory has reserved for the user, `latest` the cart's latest
    operations when the report was asked for by the cart's name, `actor` who caused the saga.
    """

    key: CartKey | None
    at: datetime
    saga: SagaSummary | None = None
    record: OperationRecord | None = None
    says: str = ""
    steps: list[HistoryEntry] = field(default_factory=list)
    cart: Cart | None = None
    holds: Units | None = None
    effects: list[PendingEffect] = field(default_factory=list)
    latest: list[LatestChange] = field(default_factory=list)
    actor: Actor | None = None
    unasked: Mapping[str, str] = field(default_factory=dict)
    next: list[str] = field(default_factory=list)

    @property
    def lines(self) -> Units:
        """The units in the cart."""
        return {} if self.cart is None else self.cart.units

    @property
    def changes(self) -> list[LineOfChange]:
        """What the saga did to each line."""
        if self.record is None:
            return []
        reserved = not self.steps or any(step.what == "reserve_inventory" for step in self.steps)
        return lines_of(self.record, reserved=reserved)

    @property
    def repairs(self) -> list[str]:
        """What a repair found and did."""
        return repairs_of(self.record) if self.record else []

    @property
    def order_id(self) -> str | None:
        """The order that took units."""
        effects = self.record.effects if self.record else []
        orders = (effect.order_id for effect in effects if isinstance(effect, ReleaseEffect))
        return next(filter(None, orders), self.saga.order_id if self.saga else None)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        cart, record = self.cart, self.record
        return {
            **(self.saga.as_dict(self.at) if self.saga else {}),
            "sagaId": record.saga_id if record else None,
            "recordedReason": record.reason if record else None,
            "recorded": record.state if record else None,
            "actor": self.actor and self.actor.model_dump(mode="json"),
            "intervention": record.intervention.model_dump()
            if record and record.intervention
            else None,
            "says": self.says,
            "lines": [line.as_dict() for line in self.changes],
            "repairs": self.repairs,
            "steps": self.steps,
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
            "latest": [change.as_dict() for change in self.latest],
            "unasked": self.unasked,
            "next": self.next,
        }


async def collect(connections: Connections, name: str) -> SagaReport:
    """Asks every system about a saga, or about a cart (`STORE/USER`) and its latest change.

    Raises `OpsError` when nothing is known by this name.
    """
    key = cart_key(name)
    report = SagaReport(key, at=datetime.now(UTC), unasked=connections.unasked)
    if key is None:
        report.saga = await find_saga(connections, name)
        if report.saga.store_id is not None and report.saga.user_id is not None:
            report.key = CartKey(report.saga.store_id, report.saga.user_id)
    else:
        report.saga = await connections.ask(
            "temporal", partial(latest_saga, connections, key), None
        )
    started = await _from_temporal(connections, report) if report.saga else None
    if report.key is not None:
        await asyncio.gather(
            _from_mongodb(connections, report, report.key, started),
            _from_inventory(connections, report, report.key),
        )
    if key is not None:
        await _latest_of_cart(connections, report, key)
    if not (report.saga or report.cart or report.record or report.holds or report.unasked):
        raise NotFoundError(f"nothing is known of the cart {name!r}")
    report.next = advice(report, deadline=connections.settings.lock_ttl)
    return report


async def _latest_of_cart(connections: Connections, report: SagaReport, key: CartKey) -> None:
    sagas = await listed(connections, changes_of(key), limit=LATEST)
    commits: list[OperationRecord] = await connections.ask(
        "mongodb", partial(connections.operations.latest_commits, key, limit=LATEST), []
    )
    report.latest = latest_changes(await explain(connections, sagas), commits)
    if report.saga is None and commits:
        report.record = commits[0]
        report.actor = report.record.actor


async def _from_temporal(connections: Connections, report: SagaReport) -> datetime | None:
    """Reads the run; returns when the saga started."""
    saga = report.saga
    assert saga is not None  # noqa: S101 (the caller has looked)
    handle = connections.temporal.get_workflow_handle(saga.workflow_id, run_id=saga.run_id)
    history: WorkflowHistory | None = await connections.ask(
        "temporal", partial(handle.fetch_history, rpc_timeout=RPC_TIMEOUT), None
    )
    if history is None:
        return None
    report.steps = entries(history)
    report.actor = actor_of(request_of(history.events[0]))
    if saga.running:
        described = await connections.ask(
            "temporal", partial(handle.describe, rpc_timeout=RPC_TIMEOUT), None
        )
        if described is not None:
            report.steps += pending_steps(described.raw_description.pending_activities)
    [report.saga] = await explain(connections, [saga])
    if saga.state in ENDED_FROM_OUTSIDE:
        report.says = " ".join(filter(None, [saga.state, report.saga.reason]))
    else:
        report.says = await details(connections, saga.workflow_id, saga.run_id)
    return started_at(history)


async def _from_mongodb(
    connections: Connections, report: SagaReport, cart: CartKey, started: datetime | None
) -> None:
    async def read() -> None:
        if report.saga is not None and started is not None:
            record_id = record_of(report.saga, started)
            report.record = await connections.operations.record(record_id, cart)
        if report.record is not None:
            report.actor = report.record.actor
        report.cart = await connections.carts.cart(cart)
        pending = await connections.outbox.pending_of(
            store_id=cart.store_id, user_id=cart.user_id, limit=EFFECTS_MAX
        )
        report.effects = pending_effects(connections, pending)

    await connections.ask("mongodb", read, None)


async def _from_inventory(connections: Connections, report: SagaReport, cart: CartKey) -> None:
    """Reads the user's reservations."""
    inventory = InventoryClient.of(connections.settings, timeout_seconds=INVENTORY_SECONDS)

    try:
        reading = partial(inventory.held_units, cart.store_id, cart.user_id)
        report.holds = await connections.ask("inventory", reading, None)
    finally:
        await inventory.close()
