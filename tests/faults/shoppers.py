"""Simulated shoppers: they send requests over HTTP, retry, and record every reply in a ledger."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import httpx
import orjson

from api.auth.guests import GuestTokens
from cli.token import mint_token
from models.cart import CartKey
from models.guests import is_guest_id
from tests.faults.cart_requests import (
    SENT_ACTIONS,
    UPDATES,
    CartAction,
    CartRequest,
    ClientReply,
    RetryHabit,
)
from tests.faults.rig import FaultRig
from workflows.ids import cart_workflow_id, event_operation_id, operation_id

RETRY_FOR_SECONDS = 45.0
RETRY_SECONDS = 0.15
LONGEST_RETRY_SECONDS = 1.5
AT_ONCE = 24
# Units added to a cart before a request that needs a filled cart, and how often that is tried.
PREFILL_UNITS, PREFILL_TRIES = 3, 3

Lines = dict[str, int]
"""Product -> units."""
CartVersion = tuple[str, int]
"""A cart's id and one of its versions."""


@dataclass(frozen=True)
class CartRead:
    """A shopper's read after a committed reply; `version` is None if there is no cart."""

    request: CartRequest
    reply: ClientReply
    version: CartVersion | None


@dataclass(frozen=True)
class FrozenLook:
    """What a shopper has seen of a cart before the end of its checkout.

    `shown` are the version, the lines and the checkout's id, as `frozen` has them from the answer
    to the checkout. `change` was sent meanwhile; its reply is the first one.
    """

    user_id: str
    frozen: tuple[int, Lines, str]
    shown: tuple[int, Lines, str] | None = None
    change: CartRequest | None = None


@dataclass
class Ledger:
    """All requests, replies and reads of the shoppers of one store."""

    rig: FaultRig
    store_id: str = field(default_factory=lambda: f"store-{uuid4().hex[:12]}")
    stock: dict[str, int] = field(default_factory=dict)
    requests: list[CartRequest] = field(default_factory=list)
    event_requests: list[CartRequest] = field(default_factory=list)
    """The changes that events request, for each cart, in the order in which they were sent."""
    unusable: dict[str, str] = field(default_factory=dict)
    """Ids of events that can never be applied, and the reason."""
    reads: list[CartRead] = field(default_factory=list)
    looks: list[FrozenLook] = field(default_factory=list)
    noticed: list[tuple[str, str]] = field(default_factory=list)
    """What users have noticed of a partial fault that was not about their carts."""
    _tokens: dict[str, str] = field(default_factory=dict)

    @property
    def users(self) -> list[str]:
        return sorted({request.user_id for request in self.requests})

    def headers(self, user_id: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(user_id)}"}

    def token(self, user_id: str) -> str:
        """The token of a user or guest."""
        if user_id not in self._tokens:
            settings = self.rig.settings
            self._tokens[user_id] = (
                GuestTokens(settings).token_of(user_id).token
                if is_guest_id(user_id)
                else mint_token(settings, user=user_id)
            )
        return self._tokens[user_id]

    def workflow_id(self, user_id: str) -> str:
        return cart_workflow_id(self.store_id, user_id)

    def operation_id(self, request: CartRequest) -> str:
        if request.action in SENT_ACTIONS:
            return operation_id(self.store_id, request.user_id, request.key)
        return event_operation_id(
            request.topic, request.key, CartKey(self.store_id, request.user_id)
        )

    async def configure(self, settings: dict[str, float]) -> None:
        """Gives the store settings of its own."""
        role = self.rig.settings.jwt_admin_role
        token = mint_token(self.rig.settings, user="boss", role=role, store=self.store_id)
        response = await self.rig.http.put(
            f"/admin/stores/{self.store_id}/settings",
            json=settings,
            headers={"Authorization": f"Bearer {token}"},
        )
        response.raise_for_status()

    async def stock_up(self, units: dict[str, int]) -> None:
        for product_id, available in units.items():
            response = await self.rig.inventory.put(
                f"/api/v1/inventories/stock/{product_id}",
                params={"storeId": self.store_id},
                json={"available": available},
            )
            response.raise_for_status()
        self.stock |= units

    async def send(self, request: CartRequest) -> ClientReply:
        """Sends one request, and records the reply."""
        sent_at = time.monotonic()
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
        reply = ClientReply(request.action, status, content, sent_at, time.monotonic())
        request.replies.append(reply)
        return reply

    async def cart(self, user_id: str) -> dict[str, Any] | None:
        """The cart that the user reads, or None if there is none.

        Raises `httpx.TransportError` if the cart cannot be read now.
        """
        path = f"/api/v1/cart/{self.store_id}/store"
        answer = await self.rig.http.get(path, headers=self.headers(user_id))
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.status_code != httpx.codes.OK:
            raise httpx.TransportError(f"answered {answer.status_code}")
        cart: dict[str, Any] = answer.json()
        return cart

    async def read(self, request: CartRequest, reply: ClientReply) -> None:
        """Reads the cart after a reply; it must not be older than the reply."""
        try:
            cart = await self.cart(request.user_id)
        except httpx.TransportError:
            return
        self.reads.append(CartRead(request, reply, version_of(cart)))


def version_of(cart: dict[str, Any] | None) -> CartVersion | None:
    return (cart["_id"], cart["version"]) if cart else None


def lines_of(cart: dict[str, Any]) -> Lines:
    """The lines of a stored cart, or of one in a reply."""
    return {line["productId"]: line["productQuantity"] for line in cart["cartItems"]}


async def prepare(ledger: Ledger, request: CartRequest) -> None:
    """Reads the shopper's cart, fills it if that is needed, and completes the request."""
    if request.action in {CartAction.ADD, CartAction.BATCH}:
        return
    if request.action is CartAction.THAW:
        await prepare(ledger, checkout := _checkout_before(request))
        await _send_until_known(ledger, checkout)
        return
    needed = {CartAction.CLEAR: 0, CartAction.DECREASE: 2}.get(request.action, 1)
    for attempt in range(PREFILL_TRIES):
        try:
            cart = await ledger.cart(request.user_id)
        except httpx.TransportError:
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if cart is not None:
            lines = lines_of(cart)
            enough = sorted(name for name, units in lines.items() if units >= needed)
            if enough or needed == 0:
                request.cart_id = cart["_id"]
                if request.product_id not in enough and enough:
                    request.product_id = enough[0]
                units = lines.get(request.product_id, 0)
                if request.action in UPDATES:
                    more = request.action is CartAction.INCREASE
                    step = request.quantity if more else -request.quantity
                    request.quantity = max(1, units + step)
                return
        prefill_key = f"{request.key}-prefill-{attempt}"
        await perform(
            ledger,
            CartRequest(
                request.number,
                request.user_id,
                request.product_id,
                PREFILL_UNITS,
                prefill_key,
                RetryHabit.RETRIES,
            ),
        )
    request.cart_id = "0" * 24  # no such cart: the shopper's cart could not be read


def _checkout_before(thaw: CartRequest) -> CartRequest:
    """The checkout that a shopper then cancels."""
    key = f"{thaw.key}-checkout"
    return replace(thaw, key=key, action=CartAction.CHECK_OUT, habit=RetryHabit.RETRIES, replies=[])


async def perform(ledger: Ledger, request: CartRequest) -> None:
    """Sends a request, with retries by its habit, until the outcome is known or time is up.

    A shopper who has checked out cancels it, so that the cart's other requests go on.
    """
    await _send_until_known(ledger, request)
    if request.action is CartAction.CHECK_OUT:
        key = f"{request.key}-thaw"
        thaw = replace(request, key=key, action=CartAction.THAW, habit=RetryHabit.RETRIES)
        thaw.replies, thaw.accepted_at = [], None
        await _send_until_known(ledger, thaw)


async def check_out(ledger: Ledger, request: CartRequest) -> bool:
    """Sends a checkout until its outcome is known; whether the cart is frozen."""
    await _send_until_known(ledger, request)
    return bool(request.replies) and request.replies[-1].committed


async def _send_until_known(ledger: Ledger, request: CartRequest) -> None:
    ledger.requests.append(request)
    deadline = time.monotonic() + RETRY_FOR_SECONDS
    if request.habit is RetryHabit.SENDS_TWICE:
        await asyncio.gather(ledger.send(request), ledger.send(request))
    reply, pause = await ledger.send(request), RETRY_SECONDS
    while _should_retry(request, reply) and time.monotonic() < deadline:
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_RETRY_SECONDS)
        if (
            request.habit is RetryHabit.POLLS_STATUS
            and request.accepted_at
            and await _still_pending(ledger, request, request.accepted_at)
        ):
            continue
        reply = await ledger.send(request)
    if reply.committed:
        await ledger.read(request, reply)
        if request.habit is RetryHabit.REPEATS_AFTERWARDS:
            await ledger.send(request)


def _should_retry(request: CartRequest, reply: ClientReply) -> bool:
    if request.habit is RetryHabit.NEVER_RETRIES:
        return False
    if b'"cart_empty"' in reply.body or b'"insufficient_stock"' in reply.body:
        return False
    return reply.unknown or reply.status == httpx.codes.CONFLICT


async def _still_pending(ledger: Ledger, request: CartRequest, url: str) -> bool:
    """Whether the accepted operation is pending, or its state cannot be read."""
    try:
        answer = await ledger.rig.http.get(url, headers=ledger.headers(request.user_id))
    except httpx.TransportError:
        return True
    if answer.status_code != httpx.codes.OK:
        return answer.status_code >= 500
    return bool(answer.json()["status"] == "pending")


async def run_shoppers(
    ledger: Ledger,
    requests: list[CartRequest],
    before: Callable[[CartRequest], Awaitable[None]],
) -> None:
    """Sends all requests: of each shopper in order, with up to three at once.

    At most `AT_ONCE` requests are under way. `before` is called with each request before it.
    """
    at_once = asyncio.Semaphore(AT_ONCE)
    queues: dict[str, list[CartRequest]] = {}
    for request in requests:
        queues.setdefault(request.user_id, []).append(request)

    async def one(request: CartRequest) -> None:
        async with at_once:
            await prepare(ledger, request)
            await before(request)
            await perform(ledger, request)

    async def buyer(queue: list[CartRequest]) -> None:
        rng = random.Random(queue[0].number)
        while queue:
            together = [queue.pop(0) for _ in range(min(len(queue), rng.choice((1, 1, 1, 2, 3))))]
            await asyncio.gather(*(one(request) for request in together))

    await asyncio.gather(*(buyer(queue) for queue in queues.values()))
