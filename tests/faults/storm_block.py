"""One block of events of other services under faults, in a store of its own.

Orders, stock news, repeated and unusable events are sent while shoppers add to the same carts, and
while the consumer, a worker and all servers are killed, paused and cut off. At the end all
invariants are checked. The test suite runs one block, `storm` many.
"""

import asyncio
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.faults.cart_requests import PLENTY, CartAction, CartRequest, Order, RetryHabit
from tests.faults.consumer_fault_catalog import plan
from tests.faults.event_traffic import EventTraffic
from tests.faults.fault_catalog import PlannedFault
from tests.faults.fault_injection import Hit, Injector
from tests.faults.invariants import Violation, violations
from tests.faults.observed_state import observe
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger, check_out, perform
from tests.faults.triggers import Trigger
from tests.support.waiting import eventually

EVENTS_A_BUYER = 12
ORDERS_A_CART = (3, 10)
PREFILL = {"lamp": 40, "desk": 3}
PAID_BY_CHECKOUT = 0.5
"""The share of whole carts that are checked out before they are ordered."""
FAILED_PAYMENTS = 0.5
"""The share of these whose first payment fails."""
RACING = 0.5
"""The share of orders during which the shopper adds to the same cart."""
SETTLE_SECONDS = 120.0
MORE_TRIES = 5
_MANY = 1_000_000


@dataclass
class StormBlock:
    """The result of a block: `count` of events by kind, `racing` orders during an add."""

    number: int
    count: Counter[str]
    racing: int
    hits: list[Hit]
    missed: list[PlannedFault]
    violations: list[Violation]
    took: float


@dataclass
class _Storm:
    """One block under way."""

    rig: FaultRig
    rng: random.Random
    ledger: Ledger
    injector: Injector
    events: int
    planned: dict[int, PlannedFault]
    users: list[str]
    traffic: EventTraffic = field(init=False)
    armed: list[tuple[PlannedFault, Trigger]] = field(default_factory=list)
    racing: int = 0

    def __post_init__(self) -> None:
        self.traffic = EventTraffic(self.rig, self.ledger, self.rng, self._arm)

    async def _arm(self, event: int) -> None:
        planned = self.planned.pop(event, None)
        if planned is not None:
            trigger = self.injector.arm_consumer(
                planned, self.ledger.store_id, self.traffic.settled
            )
            self.armed.append((planned, trigger))

    @property
    def keep_going(self) -> bool:
        return self.traffic.count.total() < self.events

    async def shopper(self, user_id: str) -> None:
        """Fills one cart after the other; each is ordered in parts, and then as a whole."""
        while self.keep_going:
            cart_id = await self._filled_cart(user_id)
            for _ in range(self.rng.randint(*ORDERS_A_CART)):
                if self.keep_going:
                    await self._event(user_id, cart_id)
            if not self.keep_going or not await self._settles():
                return
            cart = await self._stored_cart(user_id)
            if cart is None:  # an order took too much; the invariants report which
                return
            if self.rng.random() < PAID_BY_CHECKOUT:
                await self._bought(user_id, cart_id)
            else:
                version = cart["version"] if self.rng.random() < 0.5 else None
                await self._ordered(user_id, cart_id, Order(whole=True, cart_version=version))
            if not await self._settles():
                return

    async def _event(self, user_id: str, cart_id: str) -> None:
        kind = self.rng.choices(
            ("order", "repeat", "unusable", "line", "product"), (62, 14, 6, 14, 4)
        )[0]
        match kind:
            case "order":
                lamps = self.rng.randint(1, 3)
                await self._ordered(user_id, cart_id, Order(), product_id="lamp", quantity=lamps)
            case "repeat":
                await self.traffic.repeat()
            case "unusable":
                await self.traffic.unusable(cart_id)
            case "line":
                await self.traffic.line_out_of_stock(user_id, cart_id, "desk")
            case "product":
                is_back = self.rng.random() < 0.5
                await self.traffic.news(self.users, self.rng.choice(PLENTY), is_back=is_back)

    async def _ordered(
        self, user_id: str, cart_id: str, order: Order, *, product_id: str = "", quantity: int = 0
    ) -> None:
        ordering = self.traffic.order(
            user_id, cart_id, order, product_id=product_id, quantity=quantity
        )
        if self.rng.random() < RACING:
            self.racing += 1
            await asyncio.gather(ordering, self._add(user_id, "cable", 1))
        else:
            await ordering

    async def _bought(self, user_id: str, cart_id: str) -> None:
        """Checks the cart out; the first payment may fail."""
        if self.rng.random() < FAILED_PAYMENTS:
            failed = await self._checked_out(user_id)
            if failed is None:
                return
            await self.traffic.cancellation(user_id, cart_id, failed)
            if not await self._settles():
                return
        paid = await self._checked_out(user_id)
        if paid is not None:
            await self._ordered(user_id, cart_id, Order(whole=True, checkout_id=paid))

    async def _checked_out(self, user_id: str) -> str | None:
        """Checks the cart out; the checkout's id, or None if that has failed."""
        number = len(self.ledger.requests)
        request = CartRequest(
            number, user_id, "", 0, f"key-{number}", RetryHabit.RETRIES, CartAction.CHECK_OUT
        )
        if not await check_out(self.ledger, request):
            return None
        return self.ledger.operation_id(request)

    async def _add(self, user_id: str, product_id: str, quantity: int) -> None:
        number = len(self.ledger.requests)
        key = f"key-{number}"
        await perform(
            self.ledger, CartRequest(number, user_id, product_id, quantity, key, RetryHabit.RETRIES)
        )

    async def _filled_cart(self, user_id: str) -> str:
        """Fills the shopper's cart for all orders of it; the cart's id."""
        while True:
            cart = await self._stored_cart(user_id)
            lines = cart["cartItems"] if cart else []
            units = {line["productId"]: line["productQuantity"] for line in lines}
            missing = [name for name, wanted in PREFILL.items() if units.get(name, 0) < wanted]
            if cart is not None and not missing:
                return str(cart["_id"])
            await self._add(user_id, missing[0], PREFILL[missing[0]])

    async def _stored_cart(self, user_id: str) -> dict[str, Any] | None:
        wanted = {"storeId": self.ledger.store_id, "userId": user_id}
        return await eventually(
            lambda: self.rig.database["carts"].find_one(wanted), timeout=SETTLE_SECONDS
        )

    async def _settles(self) -> bool:
        """Whether all orders have had their effect; if not, the invariants report which."""
        with suppress(AssertionError):
            await eventually(self.traffic.settled(), timeout=SETTLE_SECONDS, interval=0.2)
            return True
        return False

    async def last_news(self) -> None:
        """Sends the final stock news of each product."""
        for product_id, news in {
            "desk": (False,),
            "lamp": (False, True),
            "cable": (True, False),
        }.items():
            for is_back in news:
                await self.traffic.news(self.users, product_id, is_back=is_back)

    async def missed(self) -> list[PlannedFault]:
        """Sends more events for faults that have not struck; the faults that never did."""
        known = [one.cart_id for one in self.ledger.event_requests if one.cart_id is not None]
        for _ in range(MORE_TRIES):
            waiting = [trigger for _, trigger in self.armed if not trigger.fired.is_set()]
            if not waiting:
                break
            for trigger in waiting:
                if trigger.call_point.method == "park":
                    await self.traffic.unusable(known[0])
                else:
                    await self.traffic.repeat()
            await self._consumed()
        for _, trigger in self.armed:
            self.rig.triggers.disarm(trigger)
        never = [planned for planned, trigger in self.armed if not trigger.fired.is_set()]
        return [*never, *self.planned.values()]

    async def _consumed(self) -> None:
        """Waits until the consumer has committed all, and all orders have had their effect."""

        async def done() -> None:
            assert await self.rig.producer.unread_count() == 0

        with suppress(Exception):  # the invariants report what is wrong
            await eventually(done, timeout=SETTLE_SECONDS, interval=0.2)
        await self._settles()

    async def run(self) -> list[PlannedFault]:
        """Sends all events, and waits until they have had their effect and all faults are over."""
        self.rig.producer.forget_sent()
        await self.ledger.stock_up(dict.fromkeys(PLENTY, _MANY))
        await asyncio.gather(*map(self.shopper, self.users))
        await self.last_news()
        missed = await self.missed()
        await self.injector.healed()
        await self._consumed()
        return missed


async def run_storm_block(
    rig: FaultRig, *, seed: int, number: int, events: int, faults: int
) -> StormBlock:
    """Runs one block; its faults depend only on the seed, its number and its size."""
    begun = time.monotonic()
    rng = random.Random(f"{seed}/{number}")
    injector = Injector(rig)
    storm = _Storm(
        rig=rig,
        rng=rng,
        ledger=Ledger(rig),
        injector=injector,
        events=events,
        planned={one.saga: one for one in plan(rng, events=range(events), faults=faults)},
        users=[f"user-{n}" for n in range(max(4, events // EVENTS_A_BUYER))],
    )
    missed = await storm.run()
    observed = await observe(rig, storm.ledger, injector.hits)
    return StormBlock(
        number=number,
        count=storm.traffic.count,
        racing=storm.racing,
        hits=injector.hits,
        missed=missed,
        violations=violations(observed),
        took=time.monotonic() - begun,
    )
