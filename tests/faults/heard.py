"""Events of other services among faults, these by a seed; in blocks, each a store of its own.

Orders, news of products, repeats and what nobody can use are sent in while buyers add to the same
carts, and while the consumer, a worker and all servers are killed, paused and cut off, at moments
of the consumer. When all is quiet every invariant is checked. The test suite runs one block, the
long run many.
"""

import asyncio
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.faults.catalog import Planned
from tests.faults.catalog_of_events import plan
from tests.faults.control import Trap
from tests.faults.inject import Hit, Injector
from tests.faults.invariants import Violation, violations
from tests.faults.observed import observe
from tests.faults.rig import Rig
from tests.faults.senders import Senders
from tests.faults.traffic import Ledger, buy
from tests.faults.wishes import PLENTY, Habit, Order, Request
from tests.support.waiting import eventually

EVENTS_A_BUYER = 12
ORDERS_A_CART = (3, 10)
BASIS = {"lamp": 40, "desk": 3}
RACING = 0.5
"""The share of orders beside which the buyer adds to the cart."""
SETTLE_SECONDS = 120.0
MORE_TRIES = 5
_MANY = 1_000_000


@dataclass
class Block:
    """What one block came to; `count` is of events by kind, `racing` of orders beside an add."""

    number: int
    count: Counter[str]
    racing: int
    hits: list[Hit]
    missed: list[Planned]
    violations: list[Violation]
    took: float


@dataclass
class _Storm:
    """One block while it is under way."""

    rig: Rig
    rng: random.Random
    ledger: Ledger
    injector: Injector
    events: int
    planned: dict[int, Planned]
    users: list[str]
    senders: Senders = field(init=False)
    traps: list[tuple[Planned, Trap]] = field(default_factory=list)
    racing: int = 0

    def __post_init__(self) -> None:
        self.senders = Senders(self.rig, self.ledger, self.rng, self._arm)

    async def _arm(self, event: int) -> None:
        planned = self.planned.pop(event, None)
        if planned is not None:
            trap = self.injector.arm_consumer(planned, self.ledger.store_id, self.senders.settled)
            self.traps.append((planned, trap))

    @property
    def goes_on(self) -> bool:
        return self.senders.count.total() < self.events

    async def buyer(self, user_id: str) -> None:
        """One cart after the other, each of which is ordered bit by bit and then as a whole."""
        while self.goes_on:
            cart_id = await self._filled_cart(user_id)
            for _ in range(self.rng.randint(*ORDERS_A_CART)):
                if self.goes_on:
                    await self._event(user_id, cart_id)
            if not self.goes_on or not await self._settles():
                return
            cart = await self._stored_cart(user_id)
            if cart is None:  # an order took what it should not; the invariants tell which
                return
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
                await self.senders.repeat()
            case "unusable":
                await self.senders.unusable(cart_id)
            case "line":
                await self.senders.line_cannot_be_had(user_id, cart_id, "desk")
            case "product":
                is_back = self.rng.random() < 0.5
                await self.senders.news(self.users, self.rng.choice(PLENTY), is_back=is_back)

    async def _ordered(
        self, user_id: str, cart_id: str, order: Order, *, product_id: str = "", quantity: int = 0
    ) -> None:
        told = self.senders.order(user_id, cart_id, order, product_id=product_id, quantity=quantity)
        if self.rng.random() < RACING:
            self.racing += 1
            await asyncio.gather(told, self._add(user_id, "cable", 1))
        else:
            await told

    async def _add(self, user_id: str, product_id: str, quantity: int) -> None:
        number = len(self.ledger.requests)
        key = f"key-{number}"
        await buy(self.ledger, Request(number, user_id, product_id, quantity, key, Habit.INSISTS))

    async def _filled_cart(self, user_id: str) -> str:
        """The buyer's cart, with enough in it for all that will be ordered of it."""
        while True:
            cart = await self._stored_cart(user_id)
            lines = cart["cartItems"] if cart else []
            units = {line["productId"]: line["productQuantity"] for line in lines}
            missing = [name for name, wanted in BASIS.items() if units.get(name, 0) < wanted]
            if cart is not None and not missing:
                return str(cart["_id"])
            await self._add(user_id, missing[0], BASIS[missing[0]])

    async def _stored_cart(self, user_id: str) -> dict[str, Any] | None:
        wanted = {"storeId": self.ledger.store_id, "userId": user_id}
        return await eventually(
            lambda: self.rig.database["carts"].find_one(wanted), timeout=SETTLE_SECONDS
        )

    async def _settles(self) -> bool:
        """Whether all orders have had their effect; if not, the invariants tell which."""
        with suppress(AssertionError):
            await eventually(self.senders.settled(), timeout=SETTLE_SECONDS, interval=0.2)
            return True
        return False

    async def last_news(self) -> None:
        """Of each product, after all that was bought."""
        for product_id, told in {
            "desk": (False,),
            "lamp": (False, True),
            "cable": (True, False),
        }.items():
            for is_back in told:
                await self.senders.news(self.users, product_id, is_back=is_back)

    async def missed(self) -> list[Planned]:
        """Gives moments that have not come another chance; the faults that never struck."""
        known = [one.cart_id for one in self.ledger.arrived if one.cart_id is not None]
        for _ in range(MORE_TRIES):
            waiting = [trap for _, trap in self.traps if not trap.sprung.is_set()]
            if not waiting:
                break
            for trap in waiting:
                if trap.place.method == "park":
                    await self.senders.unusable(known[0])
                else:
                    await self.senders.repeat()
            await self._dealt_with()
        for _, trap in self.traps:
            self.rig.control.disarm(trap)
        never = [planned for planned, trap in self.traps if not trap.sprung.is_set()]
        return [*never, *self.planned.values()]

    async def _dealt_with(self) -> None:
        """Returns when the consumer has committed all, and the last of it has had its effect."""

        async def done() -> None:
            assert await self.rig.arrivals.unread() == 0

        with suppress(Exception):  # the invariants tell what is wrong
            await eventually(done, timeout=SETTLE_SECONDS, interval=0.2)
        await self._settles()

    async def run(self) -> list[Planned]:
        """Sends all, and returns when it is dealt with and nothing is broken any more."""
        self.rig.arrivals.forget()
        await self.ledger.stock_up(dict.fromkeys(PLENTY, _MANY))
        await asyncio.gather(*map(self.buyer, self.users))
        await self.last_news()
        missed = await self.missed()
        await self.injector.healed()
        await self._dealt_with()
        return missed


async def run_block(rig: Rig, *, seed: int, number: int, events: int, faults: int) -> Block:
    """One block; which faults strike depends on the seed, its number and its size alone."""
    begun = time.monotonic()
    rng = random.Random(f"{seed}/{number}")
    injector = Injector(rig)
    storm = _Storm(
        rig=rig,
        rng=rng,
        ledger=Ledger(rig, injector.clouded),
        injector=injector,
        events=events,
        planned={one.saga: one for one in plan(rng, events=range(events), faults=faults)},
        users=[f"user-{n}" for n in range(max(4, events // EVENTS_A_BUYER))],
    )
    missed = await storm.run()
    seen = await observe(rig, storm.ledger, injector.hits)
    return Block(
        number=number,
        count=storm.senders.count,
        racing=storm.racing,
        hits=injector.hits,
        missed=missed,
        violations=violations(seen),
        took=time.monotonic() - begun,
    )
