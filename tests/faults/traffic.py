"""Buyers over HTTP: how they insist on what they want, and a ledger of what each was told."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import orjson

from cli.token import mint_token
from tests.faults.rig import Rig
from tests.faults.wishes import ASKED, UPDATES, Habit, Request, Told, What
from workflows.ids import cart_workflow_id, event_operation_id, operation_id

INSIST_SECONDS = 45.0
RETRY_SECONDS = 0.15
AT_ONCE = 24
# What a buyer puts into its cart before it wants something of it, and how often it tries.
BASIS_UNITS, BASIS_TRIES = 3, 3

CartVersion = tuple[str, int]
"""A cart's id and one of its versions."""


@dataclass(frozen=True)
class Read:
    """A buyer's own read after it was told that its request is done: `seen` None is no cart."""

    request: Request
    told: Told
    seen: CartVersion | None
    clouded: bool  # a write to the cache may have been lost


@dataclass
class Ledger:
    """All that buyers asked for in one store, were told, and read."""

    rig: Rig
    is_clouded: Callable[[str, float], bool]  # see `Injector.clouded`
    store_id: str = field(default_factory=lambda: f"store-{uuid4().hex[:12]}")
    stock: dict[str, int] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    arrived: list[Request] = field(default_factory=list)
    """What events of other services ask for, of each cart, in the order in which they were sent."""
    unusable: dict[str, str] = field(default_factory=dict)
    """Ids of events that no try can help, and why."""
    reads: list[Read] = field(default_factory=list)
    _tokens: dict[str, str] = field(default_factory=dict)

    @property
    def users(self) -> list[str]:
        return sorted({request.user_id for request in self.requests})

    def headers(self, user_id: str) -> dict[str, str]:
        if user_id not in self._tokens:
            self._tokens[user_id] = mint_token(self.rig.settings, user=user_id)
        return {"Authorization": f"Bearer {self._tokens[user_id]}"}

    def workflow_id(self, user_id: str) -> str:
        return cart_workflow_id(self.store_id, user_id)

    def operation_id(self, request: Request) -> str:
        if request.what in ASKED:
            return operation_id(self.store_id, request.user_id, request.key)
        return event_operation_id(request.topic, request.key, self.store_id, request.user_id)

    async def stock_up(self, units: dict[str, int]) -> None:
        for product_id, available in units.items():
            response = await self.rig.inventory.put(
                f"/api/v1/inventories/stock/{product_id}",
                params={"storeId": self.store_id},
                json={"available": available},
            )
            response.raise_for_status()
        self.stock |= units

    async def send(self, request: Request) -> Told:
        """One request; what it was told is noted."""
        asked_at = time.monotonic()
        method, path, body = request.call(self.store_id)
        headers = self.headers(request.user_id) | {"Idempotency-Key": request.key}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            answer = await self.rig.http.request(
                method, path, content=orjson.dumps(body) if body else None, headers=headers
            )
            status, content = answer.status_code, answer.content
            if status == httpx.codes.ACCEPTED:
                request.accepted_at = answer.headers["Location"]
        except httpx.TransportError:
            status, content = 0, b""
        told = Told(request.what, status, content, asked_at, time.monotonic())
        request.told.append(told)
        return told

    async def cart(self, user_id: str) -> dict[str, Any] | None:
        """The user's own cart as it reads it, None when there is none.

        Raises `httpx.TransportError` when it cannot be read now.
        """
        path = f"/api/v1/cart/{self.store_id}/store"
        answer = await self.rig.http.get(path, headers=self.headers(user_id))
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.status_code != httpx.codes.OK:
            raise httpx.TransportError(f"answered {answer.status_code}")
        cart: dict[str, Any] = answer.json()
        return cart

    async def read(self, request: Request, told: Told) -> None:
        """Reads the cart after an answer: the buyer must see at least what it was told."""
        try:
            cart = await self.cart(request.user_id)
        except httpx.TransportError:
            return
        self.reads.append(Read(request, told, version_of(cart), self.clouded(request, told)))

    def clouded(self, request: Request, told: Told) -> bool:
        """Whether what was told may not have been written to the cache."""
        return self.is_clouded(self.workflow_id(request.user_id), told.asked_at)


def version_of(cart: dict[str, Any] | None) -> CartVersion | None:
    return (cart["_id"], cart["version"]) if cart else None


async def prepare(ledger: Ledger, request: Request) -> None:
    """Looks at the buyer's cart, and fills it first where it has nothing that the request could be
    about."""
    if request.what is What.ADD:
        return
    needed = {What.CLEAR: 0, What.LESS: 2}.get(request.what, 1)
    for attempt in range(BASIS_TRIES):
        try:
            cart = await ledger.cart(request.user_id)
        except httpx.TransportError:
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if cart is not None:
            lines = {line["productId"]: line["productQuantity"] for line in cart["cartItems"]}
            enough = sorted(name for name, units in lines.items() if units >= needed)
            if enough or needed == 0:
                request.cart_id = cart["_id"]
                if request.product_id not in enough and enough:
                    request.product_id = enough[0]
                units = lines.get(request.product_id, 0)
                if request.what in UPDATES:
                    more = request.what is What.MORE
                    step = request.quantity if more else -request.quantity
                    request.quantity = max(1, units + step)
                return
        basis = f"{request.key}-basis-{attempt}"
        await buy(
            ledger,
            Request(
                request.number,
                request.user_id,
                request.product_id,
                BASIS_UNITS,
                basis,
                Habit.INSISTS,
            ),
        )
    request.cart_id = "0" * 24  # it could not be read; such a cart there is not


async def buy(ledger: Ledger, request: Request) -> None:
    """One wish, by its buyer's habit, until it is known what became of it, or given up."""
    ledger.requests.append(request)
    deadline = time.monotonic() + INSIST_SECONDS
    if request.habit is Habit.TWICE:
        await asyncio.gather(ledger.send(request), ledger.send(request))
    told = await ledger.send(request)
    while _asks_again(request, told) and time.monotonic() < deadline:
        await asyncio.sleep(RETRY_SECONDS)
        if (
            request.habit is Habit.FOLLOWS
            and request.accepted_at
            and await _goes_on(ledger, request, request.accepted_at)
        ):
            continue
        told = await ledger.send(request)
    if told.committed:
        await ledger.read(request, told)
        if request.habit is Habit.REPEATS:
            await ledger.send(request)


def _asks_again(request: Request, told: Told) -> bool:
    if request.habit is Habit.LEAVES:
        return False
    return told.unknown or told.status == httpx.codes.CONFLICT


async def _goes_on(ledger: Ledger, request: Request, url: str) -> bool:
    """Whether the accepted operation is still pending, or cannot be asked for."""
    try:
        answer = await ledger.rig.http.get(url, headers=ledger.headers(request.user_id))
    except httpx.TransportError:
        return True
    if answer.status_code != httpx.codes.OK:
        return answer.status_code >= 500
    return bool(answer.json()["status"] == "pending")


async def shop(
    ledger: Ledger,
    requests: list[Request],
    before: Callable[[Request], Awaitable[None]],
) -> None:
    """All requests: each buyer's in order with some at once, `AT_ONCE` buyers at a time.

    `before` is told each request just before it is sent.
    """
    at_once = asyncio.Semaphore(AT_ONCE)
    queues: dict[str, list[Request]] = {}
    for request in requests:
        queues.setdefault(request.user_id, []).append(request)

    async def one(request: Request) -> None:
        async with at_once:
            await prepare(ledger, request)
            await before(request)
            await buy(ledger, request)

    async def buyer(queue: list[Request]) -> None:
        rng = random.Random(queue[0].number)
        while queue:
            together = [queue.pop(0) for _ in range(min(len(queue), rng.choice((1, 1, 1, 2, 3))))]
            await asyncio.gather(*(one(request) for request in together))

    await asyncio.gather(*(buyer(queue) for queue in queues.values()))
