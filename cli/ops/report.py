"""Everything known of one saga, its cart, reservations and pending effects, and what to do next."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from adapters.inventory import InventoryClient
from cli.ops.connections import Connections
from cli.ops.filters import RunState
from cli.ops.history import TERMINATED, HistoryEntry, entries, pending_steps, started_at
from cli.ops.relays import PendingEffect, details, pending_effects
from cli.ops.sagas import SagaSummary
from models.cart import CartKey
from models.documents import Cart, OperationRecord
from models.errors import DependencyUnavailable
from models.outcomes import Outcome
from workflows import ids
from workflows.connection import RPC_TIMEOUT

INVENTORY_SECONDS = 2.0
PAGES_MAX = 20
EFFECTS_MAX = 100
PATIENCE_SECONDS = 15.0
"""A saga that runs this much longer than its deadline waits for something."""

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
            "unknown": self.unknown,
            "next": self.next,
        }


async def collect(connections: Connections, saga: SagaSummary) -> SagaReport:
    """Asks every system; one that does not answer is named in `unknown`."""
    report = SagaReport(saga, at=datetime.now(UTC))
    started = await _from_temporal(connections, report)
    if saga.store_id is not None and saga.user_id is not None:
        cart = CartKey(saga.store_id, saga.user_id)
        await asyncio.gather(
            _from_mongodb(connections, report, cart, started),
            _from_inventory(connections, report, cart),
        )
    report.next = advice(report, deadline=connections.settings.lock_ttl)
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


async def _from_mongodb(
    connections: Connections, report: SagaReport, cart: CartKey, started: datetime
) -> None:
    record_id = ids.record_id(report.saga.operation_id or "", started)
    try:
        report.record, report.cart, pending = await asyncio.gather(
            connections.operations.record(record_id, cart),
            connections.carts.cart(cart),
            connections.outbox.pending_of(
                store_id=cart.store_id, user_id=cart.user_id, limit=EFFECTS_MAX
            ),
        )
    except DependencyUnavailable:
        report.unknown.append("mongodb")
    else:
        report.effects = pending_effects(connections, pending)


async def _from_inventory(connections: Connections, report: SagaReport, cart: CartKey) -> None:
    """Reads the user's reservations; an inventory that ignores `userId` lists the whole store."""
    inventory = InventoryClient.of(connections.settings, timeout_seconds=INVENTORY_SECONDS)
    holds: Units = Counter()
    cursor: str | None = None
    try:
        for _ in range(PAGES_MAX):
            page = await inventory.reservations(cart.store_id, user_id=cart.user_id, cursor=cursor)
            for row in page.reservations:
                if row.user_id == cart.user_id:
                    holds[row.product_id] += row.quantity
            cursor = page.cursor
            if cursor is None:
                report.holds = holds
                return
    except DependencyUnavailable:
        pass
    finally:
        await inventory.close()
    report.unknown.append("inventory")  # no answer, or more reservations than are read here


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
