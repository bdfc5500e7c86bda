"""One buyer of the load: fills carts, checks them out, pays or not, and shops as a guest.

Everything that is sent is in the ledger. What buyers do depends on the seed; what becomes of it
depends on the others.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, get_args

import httpx
import orjson

from models.events import MergeStrategy
from models.guests import new_guest_id
from tests.faults.cart_requests import (
    PLENTY,
    UPDATES,
    CartAction,
    CartRequest,
    Merge,
    Order,
    RetryHabit,
)
from tests.faults.event_traffic import EventTraffic
from tests.faults.shoppers import (
    AT_ONCE,
    RETRY_SECONDS,
    FrozenLook,
    Ledger,
    check_out,
    lines_of,
    perform,
)

PATIENCE_SECONDS = 60.0
"""How long a buyer waits for the end of a checkout or a hold."""
LOOK_AGAIN_SECONDS = 0.5

STRATEGIES: tuple[MergeStrategy, ...] = get_args(MergeStrategy.__value__)
_OFFER = 0.6
"""The share of requests that are for the product of which there are a few."""
_LOOKS = 0.6
"""The share of checkouts in which the buyer looks at the frozen cart, and tries to change it."""
_RACES = 0.3
"""The share of merges during which the guest still adds."""
_TWICE = 0.15
"""The share of orders whose event is sent again."""
_GUESTS_WHO_BUY = 0.2


class Activity(StrEnum):
    """What a buyer does next."""

    CHANGE = "change the cart"
    BUY = "check out"
    SHOP_AS_GUEST = "shop as a guest"
    WAIT = "let the holds lapse"


class End(StrEnum):
    """The end of a checkout."""

    PAID = "paid"
    TAKEN_BACK = "paid, and taken back"
    BOTH_AT_ONCE = "paid and cancelled at once"
    FAILED = "payment failed"
    CANCELLED = "cancelled by the buyer"
    TIMED_OUT = "timed out"
    PAID_LATE = "timed out, and paid after it"


_ACTIVITIES = {
    Activity.CHANGE: 12,
    Activity.BUY: 10,
    Activity.SHOP_AS_GUEST: 3,
    Activity.WAIT: 1,
}
_CHANGES = {
    CartAction.ADD: 6,
    CartAction.INCREASE: 2,
    CartAction.DECREASE: 2,
    CartAction.REMOVE: 2,
    CartAction.CLEAR: 1,
    CartAction.BATCH: 2,
}
_ENDS = {
    End.PAID: 8,
    End.TAKEN_BACK: 4,
    End.BOTH_AT_ONCE: 1,
    End.FAILED: 3,
    End.CANCELLED: 3,
    End.TIMED_OUT: 2,
    End.PAID_LATE: 2,
}


@dataclass
class Market:
    """What all buyers share: `offer` is the product that they want now, `ends` counts the checkouts
    by their ends. `before` is called with each request before it is sent; at most `AT_ONCE` are
    under way, since a saga that waits too long for a core is undone."""

    ledger: Ledger
    traffic: EventTraffic
    before: Callable[[CartRequest], None]
    offer: str = ""
    ends: Counter[End] = field(default_factory=Counter)
    lapsed: int = 0
    at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))


class Buyer:
    """Does one thing after the other."""

    def __init__(self, market: Market, user_id: str, seed: int) -> None:
        self._market = market
        self._ledger = market.ledger
        self._user = user_id
        self._rng = random.Random(f"{seed}/{user_id}")
        self._number = 0

    async def run(self, keep_going: Callable[[int], bool]) -> None:
        """Until `keep_going` returns false for the number of things that were done."""
        done = 0
        while keep_going(done):
            activity = self._one_of(_ACTIVITIES)
            cart = await self._cart(self._user)
            if activity is Activity.SHOP_AS_GUEST:
                await self._shop_as_guest()
            elif not cart or not cart["cartItems"] or activity is Activity.CHANGE:
                await self._change(self._user, cart)
            elif activity is Activity.BUY:
                await self._buy(self._user, cart["_id"])
            else:
                await self._let_lapse()
            done += 1

    async def _change(self, user_id: str, cart: dict[str, Any] | None) -> None:
        """Changes the cart in some way; without lines only an add is possible."""
        lines = lines_of(cart) if cart else {}
        action = self._one_of(_CHANGES) if lines else CartAction.ADD
        request = self._request(user_id, action, cart)
        if action not in {CartAction.ADD, CartAction.BATCH}:
            request.product_id = self._rng.choice(list(lines))
        if action in UPDATES:
            more = request.quantity if action is CartAction.INCREASE else -request.quantity
            request.quantity = max(1, lines[request.product_id] + more)
        await self._perform(request)

    async def _buy(self, user_id: str, cart_id: str) -> None:
        """Checks a cart out, and ends the checkout in some way."""
        request = self._request(user_id, CartAction.CHECK_OUT)
        async with self._market.at_once:
            self._market.before(request)
            is_frozen = await check_out(self._ledger, request)
        if not is_frozen:
            return
        checkout_id = self._ledger.operation_id(request)
        if self._rng.random() < _LOOKS:
            await self._look(request)
        end = self._one_of(_ENDS)
        self._market.ends[end] += 1
        await self._end(end, user_id, cart_id, checkout_id)
        await self._until(user_id, lambda cart: cart is None or "checkout" not in cart)

    async def _end(self, end: End, user_id: str, cart_id: str, checkout_id: str) -> None:
        traffic = self._market.traffic
        order = Order(whole=True, checkout_id=checkout_id)
        match end:
            case End.PAID:
                await traffic.order(user_id, cart_id, order)
            case End.TAKEN_BACK:
                paid = await traffic.order(user_id, cart_id, order)
                await self._until(user_id, lambda cart: cart is None or cart["_id"] != cart_id)
                await traffic.cancellation(user_id, cart_id, checkout_id, order=paid)
            case End.BOTH_AT_ONCE:
                paid = await traffic.order(user_id, cart_id, order)
                await traffic.cancellation(user_id, cart_id, checkout_id, order=paid)
            case End.FAILED:
                await traffic.cancellation(user_id, cart_id, checkout_id)
            case End.CANCELLED:
                await self._perform(self._request(user_id, CartAction.THAW))
            case End.PAID_LATE:
                await self._until(user_id, lambda cart: cart is None or "checkout" not in cart)
                if self._rng.random() < 0.5:
                    await self._change(user_id, await self._cart(user_id))
                await traffic.order(user_id, cart_id, order)
            case End.TIMED_OUT:
                pass
        if self._rng.random() < _TWICE:
            await traffic.repeat()

    async def _look(self, checkout: CartRequest) -> None:
        """Looks at the frozen cart, and tries to change it; counts only before the checkout's
        end."""
        answer = orjson.loads(checkout.replies[-1].body)
        ends_at = datetime.fromisoformat(answer["expiresAt"])
        frozen = (answer["version"], lines_of(answer), answer["checkoutId"])
        user_id = checkout.user_id
        cart = await self._cart(user_id)
        if datetime.now(UTC) < ends_at:
            checkout_id = cart.get("checkout", {}).get("checkoutId", "") if cart else ""
            shown = (cart["version"], lines_of(cart), checkout_id) if cart else (0, {}, "")
            self._ledger.looks.append(FrozenLook(user_id, frozen, shown=shown))
        action = self._rng.choice(
            (CartAction.ADD, CartAction.DECREASE, CartAction.REMOVE, CartAction.CLEAR)
        )
        change = self._request(user_id, action, cart)
        change.product_id = next(iter(frozen[1]))
        change.habit = RetryHabit.NEVER_RETRIES
        await self._perform(change)
        if datetime.now(UTC) < ends_at:
            self._ledger.looks.append(FrozenLook(user_id, frozen, change=change))

    async def _shop_as_guest(self) -> None:
        """Fills a cart as a guest, who buys it, or signs in."""
        guest = new_guest_id()
        await self._perform(self._request(guest, CartAction.ADD))
        cart = await self._cart(guest)
        if cart is None:
            return
        if self._rng.random() < _GUESTS_WHO_BUY:
            await self._buy(guest, cart["_id"])
            return
        merge = self._request(self._user, CartAction.MERGE)
        strategy = self._rng.choice(STRATEGIES)
        merge.merge = Merge(guest, self._ledger.token(guest), strategy)
        merge.habit = self._rng.choice(list(RetryHabit)[:3])
        work: list[Awaitable[None]] = [self._perform(merge)]
        if self._rng.random() < _RACES:
            work.append(self._perform(self._request(guest, CartAction.ADD)))
        await asyncio.gather(*work)

    async def _let_lapse(self) -> None:
        """Leaves the cart alone until its holds have ended."""

        def lapsed(cart: dict[str, Any] | None) -> bool:
            lines = cart["cartItems"] if cart else []
            return any(line["availabilityStatus"] == "hold_expired" for line in lines)

        self._market.lapsed += await self._until(self._user, lapsed)

    async def _until(
        self, user_id: str, condition: Callable[[dict[str, Any] | None], bool]
    ) -> bool:
        """Reads the cart until it is so; whether it is."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if condition(await self._cart(user_id)):
                return True
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        return False

    async def _cart(self, user_id: str) -> dict[str, Any] | None:
        """The cart as it can be read, at last."""
        while True:
            try:
                return await self._ledger.cart(user_id)
            except httpx.TransportError:  # too busy for now, or a server is away
                await asyncio.sleep(RETRY_SECONDS)

    async def _perform(self, request: CartRequest) -> None:
        async with self._market.at_once:
            self._market.before(request)
            await perform(self._ledger, request)

    def _request(
        self, user_id: str, action: CartAction, cart: dict[str, Any] | None = None
    ) -> CartRequest:
        number, self._number = self._number, self._number + 1
        return CartRequest(
            number=number,
            user_id=user_id,
            product_id=self._market.offer if self._rng.random() < _OFFER else PLENTY[1],
            quantity=self._rng.randint(1, 3),
            key=f"{self._user}-{number}",
            habit=RetryHabit.RETRIES,
            action=action,
            cart_id=cart["_id"] if cart else None,
        )

    def _one_of(self, weights: dict[Any, int]) -> Any:
        return self._rng.choices(list(weights), list(weights.values()))[0]
