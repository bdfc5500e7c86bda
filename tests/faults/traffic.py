"""Buyers over HTTP: what they ask for, how they insist, and a ledger of what each was told."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import uuid4

import httpx
import orjson

from cli.token import mint_token
from tests.faults.rig import Rig
from workflows.ids import cart_workflow_id, operation_id

INSIST_SECONDS = 45.0
RETRY_SECONDS = 0.15
AT_ONCE = 24

PRICES = {"lamp": "0.10", "desk": "249.99", "cable": "3.33", "rare-a": "19.99", "rare-b": "7.05"}
PLENTY = ("lamp", "desk", "cable")
SCARCE = ("rare-a", "rare-b")


class Habit(StrEnum):
    """How a buyer deals with an answer."""

    INSISTS = "insists"  # the same key again, until it is known
    TWICE = "twice"  # two requests with one key at once, then insists
    REPEATS = "repeats"  # once more when it is known
    FOLLOWS = "follows"  # asks the operation's URL after a 202
    LEAVES = "leaves"  # never asks again


@dataclass(frozen=True)
class Told:
    """One answer, or none: `status` 0 when the connection broke. Times are monotonic seconds."""

    status: int
    body: bytes
    asked_at: float
    told_at: float

    @property
    def committed(self) -> bool:
        return self.status == httpx.codes.CREATED

    @property
    def unchanged(self) -> bool:
        """It said that this request changed nothing."""
        return self.status == httpx.codes.OK or 400 <= self.status < 500

    @property
    def unknown(self) -> bool:
        return not self.committed and not self.unchanged


@dataclass
class Request:
    """One buyer's wish, under one key, and all that was said about it."""

    number: int
    user_id: str
    product_id: str
    quantity: int
    key: str
    habit: Habit
    told: list[Told] = field(default_factory=list)
    accepted_at: str | None = None  # the Location of a 202

    def body(self) -> dict[str, Any]:
        return {
            "productId": self.product_id,
            "productTitle": self.product_id.title(),
            "productPrice": orjson.Fragment(PRICES[self.product_id]),
            "quantity": self.quantity,
        }


@dataclass(frozen=True)
class Read:
    """A buyer's own read after an answer: `seen` is the version read, `told` the one answered."""

    user_id: str
    told: int
    seen: int
    clouded: bool  # a write to the cache may have been lost


@dataclass
class Ledger:
    """All that buyers asked for in one store, were told, and read."""

    rig: Rig
    clouded: Callable[[float], bool]
    store_id: str = field(default_factory=lambda: f"store-{uuid4().hex[:12]}")
    stock: dict[str, int] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    _tokens: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"/api/v1/cart/{self.store_id}/store"

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
        return operation_id(self.store_id, request.user_id, request.key)

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
        try:
            answer = await self.rig.http.post(
                self.path,
                content=orjson.dumps(request.body()),
                headers=self.headers(request.user_id)
                | {"Idempotency-Key": request.key, "Content-Type": "application/json"},
            )
            told = Told(answer.status_code, answer.content, asked_at, time.monotonic())
            if answer.status_code == httpx.codes.ACCEPTED:
                request.accepted_at = answer.headers["Location"]
        except httpx.TransportError:
            told = Told(0, b"", asked_at, time.monotonic())
        request.told.append(told)
        return told

    async def read(self, request: Request, told: Told) -> None:
        """Reads the cart after a 201: the buyer must see at least what it was told."""
        try:
            answer = await self.rig.http.get(self.path, headers=self.headers(request.user_id))
        except httpx.TransportError:
            return
        if answer.status_code in {httpx.codes.OK, httpx.codes.NOT_FOUND}:
            seen = answer.json().get("version", 0)
            version = orjson.loads(told.body)["version"]
            clouded = self.clouded(told.asked_at)
            self.reads.append(Read(request.user_id, version, seen, clouded))


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
            await before(request)
            await buy(ledger, request)

    async def buyer(queue: list[Request]) -> None:
        rng = random.Random(queue[0].number)
        while queue:
            together = [queue.pop(0) for _ in range(min(len(queue), rng.choice((1, 1, 1, 2, 3))))]
            await asyncio.gather(*(one(request) for request in together))

    await asyncio.gather(*(buyer(queue) for queue in queues.values()))
