"""All that is stored when the system is quiet, read from the servers without the service's code.

What is not in here: what must be true of it (`invariants`).
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from google.protobuf.json_format import MessageToJson
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from tests.faults.events import Delivered
from tests.faults.inject import Hit
from tests.faults.lives import Change, Life, lives_of
from tests.faults.rig import CACHE_TTL_SECONDS, Rig
from tests.faults.traffic import CartVersion, Ledger, Read, version_of
from tests.faults.wishes import Request
from tests.support.waiting import eventually
from workflows import ids

QUIET_SECONDS = 60.0
SLACK_SECONDS = 15.0  # of a machine that does other things too
_PAGE = 1000
_AT_ONCE = 16
_RUNNING = f"WorkflowType IN ('{ids.RELAY}', '{ids.MARK_PRODUCT}') AND ExecutionStatus = 'Running'"
_LAST_EVENTS = 12


Found = Iterator[tuple[str | None, str]]
"""What an invariant finds wrong: whose it is, if it is about one cart, and what it is."""


@dataclass(frozen=True)
class Units:
    """A product's units in the inventory."""

    available: int
    held: int
    sold: int


@dataclass
class Observed:
    """One store after its traffic: what was asked and told, and everything that is stored."""

    ledger: Ledger
    hits: list[Hit]
    units: dict[str, Units] = field(default_factory=dict)
    holds: dict[tuple[str, str], int] = field(default_factory=dict)
    carts: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    events: list[Delivered] = field(default_factory=list)
    letters: dict[str, set[str]] = field(default_factory=dict)
    """Id of an event that was parked -> why."""
    open_runs: list[str] = field(default_factory=list)
    replays: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Status and body that each committed key was answered when all was over."""
    ends: dict[str, str] = field(default_factory=dict)
    """What its own URL says of each operation, by id: its status, or the HTTP status."""
    final_reads: list[Read] = field(default_factory=list)
    lives: dict[str, list[Life]] = field(default_factory=dict)
    """User -> its carts, one after the other, as the committed requests make them."""
    quiet_after: float = 0.0

    @property
    def committed(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["state"] == "committed"]

    def request_of(self, operation_id: str) -> Request | None:
        if not self._by_operation:
            asked = (*self.ledger.requests, *self.ledger.arrived)
            self._by_operation = {self.ledger.operation_id(request): request for request in asked}
        return self._by_operation.get(operation_id)

    @property
    def changes(self) -> list[Change]:
        """All committed changes, each cart's in order."""
        return [
            change for lives in self.lives.values() for life in lives for change in life.changes
        ]

    def is_behind(self, read: Read) -> bool:
        """Whether it shows less than its buyer had been told."""
        changes = [c for life in self.lives.get(read.request.user_id, ()) for c in life.changes]
        since = self._told_at(read, changes)
        if since is None:
            return False  # what was told is not committed, which is another invariant's business
        later = changes[since:]
        if read.seen is None:
            return not any(change.ends_the_cart for change in later)
        return read.seen not in [(change.cart_id, change.version) for change in later]

    def _told_at(self, read: Read, changes: list[Change]) -> int | None:
        """Which of a user's changes an answer has told of."""
        cart = read.told.cart
        for position, change in enumerate(changes):
            if cart is not None:
                if version_of(cart) == (change.cart_id, change.version):
                    return position
            elif change.request.key == read.request.key:
                return position
        return None

    _by_operation: dict[str, Request] = field(default_factory=dict)


async def wait_until_quiet(
    rig: Rig, ledger: Ledger, patience: float = QUIET_SECONDS
) -> tuple[float, list[str]]:
    """Waits for no open run and no pending effect; the time it took, and what is still open."""
    begun = time.monotonic()
    left: list[str] = []

    async def quiet() -> None:
        left[:] = await _still_open(rig, ledger)
        assert not left

    with suppress(AssertionError, RPCError):
        await eventually(quiet, timeout=patience, interval=0.25)
    took = time.monotonic() - begun
    if left:  # one finding stays one
        with suppress(RPCError):
            left[-1] = "\n    ".join([left[-1], *[line async for line in _stories(rig)]])
    return took, left


async def _stories(rig: Rig) -> AsyncIterator[str]:
    """What the open relays did last: whoever finds something left pending asks for that first."""
    async for run in rig.temporal.list_workflows(_RUNNING):
        handle = rig.temporal.get_workflow_handle(run.id, run_id=run.run_id)
        events = (await handle.fetch_history()).events
        waits = (await handle.describe()).raw_description
        last = [
            f"{event.event_time.ToDatetime():%H:%M:%S.%f} {EventType.Name(event.event_type)}"
            for event in events[-_LAST_EVENTS:]
        ]
        yield (
            f"{run.id} {run.run_id}, {len(events)} events: {', '.join(last)}; pending: "
            f"{MessageToJson(waits.pending_workflow_task, indent=None)} "
            f"{[MessageToJson(one, indent=None) for one in waits.pending_activities]}"
        )


async def _still_open(rig: Rig, ledger: Ledger) -> list[str]:
    """What is open, as far as it need be known: runs are asked for when no effect is pending."""
    pending = rig.database["operations"].find({"storeId": ledger.store_id, "pending": True})
    found = [f"record {record['_id']} has pending effects" async for record in pending]
    if found:
        return found
    async for run in rig.temporal.list_workflows(_RUNNING):
        found.append(f"{run.id} is running")  # noqa: PERF401 (mypy: async)
    if found:
        return found
    running = await _gathered(_is_running(rig, ledger.workflow_id(user)) for user in ledger.users)
    return [workflow_id for workflow_id in running if workflow_id]


async def _is_running(rig: Rig, workflow_id: str) -> str | None:
    try:
        run = await rig.temporal.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    running = run.status is WorkflowExecutionStatus.RUNNING
    return f"{workflow_id} is running since {run.start_time}" if running else None


async def observe(
    rig: Rig, ledger: Ledger, hits: list[Hit], *, patience: float = QUIET_SECONDS
) -> Observed:
    """Waits until all is quiet, repeats every committed key, and reads everything."""
    seen = Observed(ledger, hits)
    seen.quiet_after, seen.open_runs = await wait_until_quiet(rig, ledger, patience)
    await _read_records(rig, seen)
    await _gathered(_final_read(seen, user) for user in ledger.users)
    committed = {record["operationId"] for record in seen.committed}
    await _gathered(
        _replay(seen, request)
        for request in ledger.requests
        if ledger.operation_id(request) in committed
    )
    await _gathered(_ask(seen, request) for request in ledger.requests)
    # Repeating keys must have changed nothing, so everything is read after it.
    if not seen.open_runs:
        _, seen.open_runs = await wait_until_quiet(rig, ledger, patience)
    await _read_records(rig, seen)
    seen.carts = await rig.database["carts"].find({"storeId": ledger.store_id}).to_list()
    await _read_inventory(rig, seen)
    await rig.events.read()
    seen.events = rig.events.of_store(ledger.store_id)
    seen.letters = rig.events.letters_of(ledger.store_id)
    return seen


async def _read_records(rig: Rig, seen: Observed) -> None:
    found = rig.database["operations"].find({"storeId": seen.ledger.store_id})
    seen.records = await found.sort([("userId", 1), ("version", 1), ("at", 1)]).to_list()
    seen.lives = _lives(seen)


async def _read_inventory(rig: Rig, seen: Observed) -> None:
    store = {"storeId": seen.ledger.store_id}
    for product_id in seen.ledger.stock:
        response = await rig.inventory.get(f"/api/v1/inventories/check/{product_id}", params=store)
        body = response.raise_for_status().json()
        seen.units[product_id] = Units(body["available"], body["held"], body["sold"])
    page: dict[str, str | int] = {**store, "limit": _PAGE}
    while True:
        response = await rig.inventory.get("/api/v1/inventories/reservations", params=page)
        body = response.raise_for_status().json()
        seen.holds |= {(r["userId"], r["productId"]): r["quantity"] for r in body["reservations"]}
        if body["cursor"] is None:
            return
        page["cursor"] = body["cursor"]


def _lives(seen: Observed) -> dict[str, list[Life]]:
    asked = ((record, seen.request_of(record["operationId"])) for record in seen.committed)
    return lives_of((record, request) for record, request in asked if request is not None)


async def _final_read(seen: Observed, user_id: str) -> None:
    """What the user reads in the end; while a lost write may be the cause, at most a TTL later."""
    ledger = seen.ledger
    told = [
        (answer, request)
        for request in ledger.requests
        for answer in request.told
        if request.user_id == user_id and answer.committed
    ]
    if not told:
        return

    async def read() -> list[Read]:
        shown: CartVersion | None = version_of(await ledger.cart(user_id))
        reads = [Read(request, answer, shown, clouded=False) for answer, request in told]
        behind = [one for one in reads if seen.is_behind(one)]
        if any(ledger.clouded(one.request, one.told) for one in behind):
            raise AssertionError
        return behind

    try:
        seen.final_reads += await eventually(
            read, timeout=CACHE_TTL_SECONDS + SLACK_SECONDS, interval=0.2
        )
    except (AssertionError, httpx.TransportError):
        answer, request = told[-1]
        seen.final_reads.append(Read(request, answer, ("not read", 0), clouded=False))


async def _replay(seen: Observed, request: Request) -> None:
    again = replace(request, told=[])  # it is no part of the traffic

    async def answered() -> None:
        told = await seen.ledger.send(again)
        # An idle connection that the server has just closed, or a server that is busy.
        assert not told.unknown
        seen.replays[request.key] = (told.status, told.body)

    await eventually(answered)


async def _ask(seen: Observed, request: Request) -> None:
    """How the operation's own URL says that it ended."""
    ledger = seen.ledger
    operation = ledger.operation_id(request)
    url = f"/api/v1/cart/{ledger.store_id}/operations/{operation}"

    async def answered() -> httpx.Response:
        told = await ledger.rig.http.get(url, headers=ledger.headers(request.user_id))
        # Temporal bounds how often it is asked.
        assert told.status_code != httpx.codes.SERVICE_UNAVAILABLE
        return told

    answer = await eventually(answered)
    known = answer.status_code == httpx.codes.OK
    seen.ends[operation] = answer.json()["status"] if known else str(answer.status_code)


async def _gathered(calls: Iterable[Any]) -> list[Any]:
    """All of them, a few at a time."""
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Any) -> Any:
        async with at_once:
            return await call

    return await asyncio.gather(*(one(call) for call in calls))
