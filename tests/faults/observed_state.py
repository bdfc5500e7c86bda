"""All that is stored when the system is quiet, read from the servers without the service's code.

`invariants` has what must be true of it.
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

from models.actor import ActorType
from models.operations import Checkout, RepairCart
from tests.faults.cart_requests import BY_SCHEDULE, CartAction, CartRequest, RetryHabit
from tests.faults.expected_carts import (
    CommittedChange,
    ExpectedCart,
    expected_carts_of,
    unchanging_of,
)
from tests.faults.fault_injection import Hit
from tests.faults.hold_watch import watched
from tests.faults.published_events import PublishedEvent
from tests.faults.rig import FaultRig
from tests.faults.shoppers import CartRead, CartVersion, Ledger, Lines, version_of
from tests.support.waiting import eventually
from workflows import ids

QUIET_SECONDS = 60.0
SLACK_SECONDS = 15.0  # for a busy machine
_PAGE = 1000
_AT_ONCE = 16
_RUNNING = f"WorkflowType IN ('{ids.RELAY}', '{ids.MARK_PRODUCT}') AND ExecutionStatus = 'Running'"
_LAST_EVENTS = 12


Findings = Iterator[tuple[str | None, str]]
"""The violations of an invariant: the user id, if it is about one cart, and a description."""


@dataclass(frozen=True)
class Units:
    """A product's units in the inventory."""

    available: int
    held: int
    sold: int


@dataclass
class ObservedState:
    """One store after its traffic: the requests, the replies and everything that is stored."""

    ledger: Ledger
    hits: list[Hit]
    units: dict[str, Units] = field(default_factory=dict)
    holds: dict[tuple[str, str], int] = field(default_factory=dict)
    carts: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    events: list[PublishedEvent] = field(default_factory=list)
    letters: dict[str, set[str]] = field(default_factory=dict)
    """Id of a dead letter -> the reasons."""
    open_runs: list[str] = field(default_factory=list)
    replays: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Committed key -> status and body of the reply to a repeated request at the end."""
    ends: dict[str, str] = field(default_factory=dict)
    """Operation id -> the status at the operation's URL, or the HTTP status of that read."""
    final_reads: list[CartRead] = field(default_factory=list)
    expected_carts: dict[str, list[ExpectedCart]] = field(default_factory=dict)
    """User -> the carts that its committed requests lead to, in the order of time."""
    unchanging: list[CommittedChange] = field(default_factory=list)
    """The committed requests that have left their carts as they are."""
    quiet_after: float = 0.0

    @property
    def committed(self) -> list[dict[str, Any]]:
        """The records of committed requests."""
        return [record for record in self._committed if record["operation"] != RepairCart.name]

    @property
    def repairs(self) -> list[dict[str, Any]]:
        """The records of repairs by the watch over reservations."""
        return [record for record in self._committed if record["operation"] == RepairCart.name]

    @property
    def _committed(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["state"] == "committed"]

    def request_of(self, record: dict[str, Any]) -> CartRequest | None:
        """What a record's operation was: requested, or due by a schedule."""
        if not self._by_operation:
            asked = (*self.ledger.requests, *self.ledger.event_requests)
            self._by_operation = {self.ledger.operation_id(request): request for request in asked}
            self._by_operation |= dict(self._merged())
        operation_id = record["operationId"]
        found = self._by_operation.get(operation_id)
        action = BY_SCHEDULE.get(record["operation"])
        if found is None and action and record["actor"]["type"] == ActorType.SCHEDULE:
            return CartRequest(
                0, record["userId"], "", 0, operation_id, RetryHabit.NEVER_RETRIES, action
            )
        return found

    def _merged(self) -> Iterator[tuple[str, CartRequest]]:
        """For each merge its operation on the guest's cart."""
        for request in self.ledger.requests:
            if request.merge is not None:
                guest, operation = request.merge.guest_id, self.ledger.operation_id(request)
                yield (
                    ids.operation_id(self.ledger.store_id, guest, operation),
                    replace(
                        request,
                        user_id=guest,
                        key=f"{request.key}-guest",
                        action=CartAction.MERGED,
                        replies=[],
                    ),
                )

    @property
    def frozen(self) -> dict[str, Lines]:
        """Checkout -> what was frozen."""
        return {
            record["operationId"]: record["frozen"]
            for record in self.committed
            if record["operation"] == Checkout.name
        }

    @property
    def changes(self) -> list[CommittedChange]:
        """All committed changes; those of a cart are in order."""
        return [
            change
            for expected_carts in self.expected_carts.values()
            for expected in expected_carts
            for change in expected.changes
        ]

    def _changes_of(self, user_id: str) -> list[CommittedChange]:
        return [
            change
            for expected in self.expected_carts.get(user_id, ())
            for change in expected.changes
        ]

    def changes_up_to(self, user_id: str, version: CartVersion | None) -> list[CommittedChange]:
        """A user's changes until the one that made this version, the latest first."""
        changes = self._changes_of(user_id)
        made = [(change.cart_id, change.version) for change in changes]
        return changes[made.index(version) :: -1] if version in made else []

    def is_stale(self, read: CartRead) -> bool:
        """Whether a read shows an older state than the reply before it."""
        changes = self._changes_of(read.request.user_id)
        since = self._replied_change(read, changes)
        if since is None:
            return False  # the reply is not of a committed change, which another invariant reports
        later = changes[since:]
        if read.version is None:
            return not any(change.clears_cart for change in later)
        return read.version not in [(change.cart_id, change.version) for change in later]

    def _replied_change(self, read: CartRead, changes: list[CommittedChange]) -> int | None:
        """The position among a user's changes of the one that a reply confirmed."""
        cart = read.reply.cart
        for position, change in enumerate(changes):
            if cart is not None:
                if version_of(cart) == (change.cart_id, change.version):
                    return position
            elif change.request.key == read.request.key:
                return position
        return None

    _by_operation: dict[str, CartRequest] = field(default_factory=dict)


async def wait_until_quiet(
    rig: FaultRig, ledger: Ledger, patience: float = QUIET_SECONDS
) -> tuple[float, list[str]]:
    """Waits until no run is open and no effect pending; the seconds, and what is still open."""
    begun = time.monotonic()
    left: list[str] = []

    async def quiet() -> None:
        left[:] = await _still_open(rig, ledger)
        assert not left

    with suppress(AssertionError, RPCError):
        await eventually(quiet, timeout=patience, interval=0.25)
    took = time.monotonic() - begun
    if (
        left
    ):  # the details belong to the last finding, so that the number of findings stays the same
        with suppress(RPCError):
            left[-1] = "\n    ".join([left[-1], *[line async for line in _open_relay_details(rig)]])
    return took, left


async def _open_relay_details(rig: FaultRig) -> AsyncIterator[str]:
    """The last events of each open relay, to find the cause of a pending effect."""
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


async def _still_open(rig: FaultRig, ledger: Ledger) -> list[str]:
    """Pending effects; if there are none, the relays that run; if there are none, open sagas."""
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


async def _is_running(rig: FaultRig, workflow_id: str) -> str | None:
    try:
        run = await rig.temporal.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    running = run.status is WorkflowExecutionStatus.RUNNING
    return f"{workflow_id} is running since {run.start_time}" if running else None


async def observe(
    rig: FaultRig,
    ledger: Ledger,
    hits: list[Hit],
    *,
    patience: float = QUIET_SECONDS,
    watch: bool = True,
) -> ObservedState:
    """Waits until the system is quiet, repeats each committed key, and reads everything.

    With `watch`, the watch over reservations comes first and releases what terminated runs have
    reserved.
    """
    observed = ObservedState(ledger, hits)
    observed.quiet_after, observed.open_runs = await wait_until_quiet(rig, ledger, patience)
    if watch:
        with suppress(AssertionError, RPCError):  # the invariants report what is left
            await watched(rig, ledger.store_id, timeout=patience)
    await _read_records(rig, observed)
    await _gathered(_final_read(observed, user) for user in ledger.users)
    committed = {record["operationId"] for record in observed.committed}
    await _gathered(
        _replay(observed, request)
        for request in ledger.requests
        if ledger.operation_id(request) in committed
    )
    await _gathered(_read_outcome(observed, request) for request in ledger.requests)
    # Everything is read after the repeated keys, which must not change anything.
    if not observed.open_runs:
        _, observed.open_runs = await wait_until_quiet(rig, ledger, patience)
    await _read_records(rig, observed)
    observed.carts = await rig.database["carts"].find({"storeId": ledger.store_id}).to_list()
    await _read_inventory(rig, observed)
    await rig.published.read()
    observed.events = rig.published.of_store(ledger.store_id)
    observed.letters = rig.published.letters_of(ledger.store_id)
    return observed


async def _read_records(rig: FaultRig, observed: ObservedState) -> None:
    found = rig.database["operations"].find({"storeId": observed.ledger.store_id})
    observed.records = await found.sort([("userId", 1), ("version", 1), ("at", 1)]).to_list()
    known = [
        (record, request)
        for record in observed.committed
        if (request := observed.request_of(record)) is not None
    ]
    observed.expected_carts = expected_carts_of(known)
    observed.unchanging = unchanging_of(known)


async def _read_inventory(rig: FaultRig, observed: ObservedState) -> None:
    store = {"storeId": observed.ledger.store_id}
    for product_id in observed.ledger.stock:
        response = await rig.inventory.get(f"/api/v1/inventories/check/{product_id}", params=store)
        body = response.raise_for_status().json()
        observed.units[product_id] = Units(body["available"], body["held"], body["sold"])
    page: dict[str, str | int] = {**store, "limit": _PAGE}
    while True:
        response = await rig.inventory.get("/api/v1/inventories/reservations", params=page)
        body = response.raise_for_status().json()
        observed.holds |= {
            (r["userId"], r["productId"]): r["quantity"] for r in body["reservations"]
        }
        if body["cursor"] is None:
            return
        page["cursor"] = body["cursor"]


async def _final_read(observed: ObservedState, user_id: str) -> None:
    """Records stale reads of the user at the end."""
    ledger = observed.ledger
    confirmed = [
        (answer, request)
        for request in ledger.requests
        for answer in request.replies
        if request.user_id == user_id and answer.committed
    ]
    if not confirmed:
        return

    async def read() -> list[CartRead]:
        shown: CartVersion | None = version_of(await ledger.cart(user_id))
        reads = [CartRead(request, answer, shown) for answer, request in confirmed]
        return [one for one in reads if observed.is_stale(one)]

    try:
        observed.final_reads += await eventually(read, timeout=SLACK_SECONDS, interval=0.2)
    except httpx.TransportError:
        answer, request = confirmed[-1]
        observed.final_reads.append(CartRead(request, answer, ("not read", 0)))


async def _replay(observed: ObservedState, request: CartRequest) -> None:
    again = replace(request, replies=[])  # not part of the traffic

    async def answered() -> None:
        reply = await observed.ledger.send(again)
        # Unknown after an idle connection was closed, or from a busy server.
        assert not reply.unknown
        observed.replays[request.key] = (reply.status, reply.body)

    await eventually(answered)


async def _read_outcome(observed: ObservedState, request: CartRequest) -> None:
    """Reads the outcome at the operation's URL."""
    ledger = observed.ledger
    operation = ledger.operation_id(request)
    url = f"/api/v1/cart/{ledger.store_id}/operations/{operation}"

    async def answered() -> httpx.Response:
        response = await ledger.rig.http.get(url, headers=ledger.headers(request.user_id))
        # Temporal limits the rate of reads.
        assert response.status_code != httpx.codes.SERVICE_UNAVAILABLE
        return response

    answer = await eventually(answered)
    known = answer.status_code == httpx.codes.OK
    observed.ends[operation] = answer.json()["status"] if known else str(answer.status_code)


async def _gathered(calls: Iterable[Any]) -> list[Any]:
    """Awaits all calls, a few at a time."""
    at_once = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Any) -> Any:
        async with at_once:
            return await call

    return await asyncio.gather(*(one(call) for call in calls))
