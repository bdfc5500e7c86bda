"""All that is known of one saga: its run, its cart, its holds, its effects, and what to do next."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from cli.ops.desk import Desk
from cli.ops.history import Entry, entries, pending_steps
from cli.ops.relays import PendingEffect, details, pending_effects
from cli.ops.sagas import End, Saga
from models.cart import Cart
from models.errors import DependencyUnavailable
from models.operation import Operation
from workflows.gateway import RPC_TIMEOUT

INVENTORY_SECONDS = 2.0
PAGES_MAX = 20
PAGE = 1000
EFFECTS_MAX = 100
# A saga that runs for longer than its deadline and this waits for something.
PATIENCE_SECONDS = 15.0

Holds = dict[str, int]
"""Product -> units that the inventory holds for the user."""


@dataclass
class Dossier:
    """What is None could not be asked: `unknown` says which system did not answer."""

    saga: Saga
    at: datetime
    saga_id: str | None = None
    reason: str | None = None
    says: str = ""
    steps: list[Entry] = field(default_factory=list)
    cart: Cart | None = None
    holds: Holds | None = None
    effects: list[PendingEffect] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)

    @property
    def lines(self) -> Holds:
        """Product -> units in the cart."""
        if self.cart is None:
            return {}
        return {line.product_id: line.product_quantity for line in self.cart.cart_items}

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        cart = self.cart
        return {
            **self.saga.as_dict(self.at),
            "sagaId": self.saga_id,
            "reason": self.reason,
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


async def collect(desk: Desk, saga: Saga) -> Dossier:
    """Asks every system at once; one that does not answer is named in `unknown`."""
    dossier = Dossier(saga, at=datetime.now(UTC))
    await asyncio.gather(
        _temporal(desk, dossier), _mongodb(desk, dossier), _inventory(desk, dossier)
    )
    dossier.next = advice(dossier, deadline=desk.settings.lock_ttl)
    return dossier


async def _temporal(desk: Desk, dossier: Dossier) -> None:
    saga = dossier.saga
    handle = desk.temporal.get_workflow_handle(saga.workflow_id, run_id=saga.run_id)
    dossier.steps = entries(await handle.fetch_history(rpc_timeout=RPC_TIMEOUT))
    if saga.running:
        raw = (await handle.describe(rpc_timeout=RPC_TIMEOUT)).raw_description
        dossier.steps += pending_steps(list(raw.pending_activities))
    dossier.says = await details(desk, saga.workflow_id, saga.run_id)


async def _mongodb(desk: Desk, dossier: Dossier) -> None:
    saga = dossier.saga
    if saga.store_id is None or saga.user_id is None:
        return
    try:
        record: Operation | None
        record, dossier.cart, pending = await asyncio.gather(
            desk.carts.record(saga.run_id),
            desk.carts.cart(saga.store_id, saga.user_id),
            desk.outbox.pending_of(store_id=saga.store_id, user_id=saga.user_id, limit=EFFECTS_MAX),
        )
    except DependencyUnavailable:
        dossier.unknown.append("mongodb")
        return
    if record is not None:
        dossier.saga_id, dossier.reason = record.saga_id, record.reason
    dossier.effects = pending_effects(desk, pending)


async def _inventory(desk: Desk, dossier: Dossier) -> None:
    saga = dossier.saga
    if saga.store_id is None or saga.user_id is None:
        return
    try:
        dossier.holds = await _holds(desk.settings.inventory, saga.store_id, saga.user_id)
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        dossier.unknown.append("inventory")


async def _holds(base_url: str, store_id: str, user_id: str) -> Holds:
    """Reads the store's reservations; an inventory that knows `userId` gives only the user's."""
    holds: Holds = {}
    asked = {"storeId": store_id, "userId": user_id, "limit": str(PAGE)}
    async with httpx.AsyncClient(
        base_url=base_url, timeout=INVENTORY_SECONDS, trust_env=False
    ) as http:
        for _ in range(PAGES_MAX):
            answer = await http.get("/api/v1/inventories/reservations", params=asked)
            answer.raise_for_status()
            body = answer.json()
            for row in body["reservations"]:
                if row["userId"] == user_id:
                    product = row["productId"]
                    holds[product] = holds.get(product, 0) + row["quantity"]
            if not body.get("cursor"):
                return holds
            asked["cursor"] = body["cursor"]
    raise ValueError("the inventory has more reservations than are read here")


def advice(dossier: Dossier, *, deadline: float) -> list[str]:
    """What to do next, the most urgent first."""
    saga = dossier.saga
    told = [f"{system} does not answer: see `cart doctor`" for system in dossier.unknown]
    if saga.running:
        told.append(_of_a_running_one(dossier, deadline))
        return told
    for relay in dict.fromkeys(effect.relay for effect in dossier.effects):
        name = f"{relay[0]}/{relay[1]}"
        told.append(
            f"Effects are pending, relay {name} goes on with them: `cart ops pending --store "
            f"{saga.store_id} --user {saga.user_id}`; at once by `cart ops retry {name}`"
        )
    if dossier.holds is not None and "mongodb" not in dossier.unknown and not dossier.effects:
        told += _mismatches(dossier)
    match saga.end:
        case End.ABORTED:
            told.append("It was undone and changed nothing; the same key may try again")
        case End.FAILED:
            told.append(
                "It failed where nobody foresaw it: see its failure in the Web UI, and its "
                "cart and holds here; the client was told to try again"
            )
        case _ if not told:
            told.append("Nothing: it has ended, and cart and holds agree")
    return told


def _of_a_running_one(dossier: Dossier, deadline: float) -> str:
    saga = dossier.saga
    name = f"{saga.store_id}/{saga.user_id}"
    if saga.attention:
        return (
            "It waits for MongoDB to say whether its change was stored: see `cart doctor`; it "
            "goes on by itself, and nothing needs to be aborted"
        )
    if saga.seconds(dossier.at) < deadline + PATIENCE_SECONDS:
        return f"It is at work: `cart ops wait {name}`; it is undone by itself after {deadline:g} s"
    return (
        "It should have ended by now: `cart doctor` tells whether a worker runs; "
        f"`cart ops abort {name} --reason …` undoes it"
    )


def _mismatches(dossier: Dossier) -> list[str]:
    holds, lines = dossier.holds or {}, dossier.lines
    return [
        f"The inventory holds {holds.get(product, 0)} x {product} for this user, the cart has "
        f"{lines.get(product, 0)}: unless another saga of the cart runs, `cart reconcile --store "
        f"{dossier.saga.store_id} --fix` repairs it"
        for product in sorted({*holds, *lines})
        if holds.get(product, 0) != lines.get(product, 0)
    ]
