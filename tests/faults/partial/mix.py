"""A random mix of partial faults, and what the well carts must not notice of it.

All shoppers send their requests at the same pace from the beginning to the end, while the faults
are switched on and off. The requests of the well carts in both kinds of window are compared.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

from redis.asyncio import Redis

from cli.setup import PARTITIONS
from tests.faults.cart_requests import CartAction, CartRequest, ClientReply, Order, RetryHabit
from tests.faults.event_traffic import EventTraffic
from tests.faults.invariants import violations
from tests.faults.observed_state import observe
from tests.faults.partial.faults import PartialFault, SickPart, System, applied
from tests.faults.partial.kafka import partition_of
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger
from tests.support.waiting import eventually

SICK_PRODUCT, WELL_PRODUCT = "desk", "lamp"
WELL_SHOPPERS = 4
EVERY_SECONDS, SICK_EVERY_SECONDS = 0.5, 0.8
"""The pace of a shopper, so that the machine is not busy with the requests alone."""
OFF_SECONDS, ON_SECONDS = 3.0, 5.0
SETTLING_SECONDS = 1.0
"""The beginning of a window without faults that is not compared: the sick carts recover."""
EFFECT_SECONDS = 30.0
"""In which the effects of well carts must be done while the faults last."""
_MANY = 1_000_000


@dataclass(frozen=True)
class Timed:
    """A reply of a well cart; `faulty` when it was sent while the faults were on."""

    reply: ClientReply
    faulty: bool
    measured: bool

    @property
    def seconds(self) -> float:
        return self.reply.received_at - self.reply.sent_at


@dataclass
class Noticed:
    """What the well carts have noticed of the faults."""

    timed: list[Timed] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    """Effects of well carts that were not done in time, while the faults lasted."""
    violations: list[str] = field(default_factory=list)
    """Of the invariants of all carts, after the faults."""

    @property
    def statuses(self) -> Counter[int]:
        """The statuses of the well carts' replies under faults."""
        return Counter(one.reply.status for one in self.timed if one.faulty)

    @property
    def success(self) -> float:
        faulty = [one.reply.committed for one in self.timed if one.faulty]
        return sum(faulty) / len(faulty)

    @property
    def ratio(self) -> float:
        """The median duration under faults to that without them."""
        return self._median(faulty=True) / self._median(faulty=False)

    def _median(self, *, faulty: bool) -> float:
        return median(one.seconds for one in self.timed if one.faulty is faulty and one.measured)


class Mix:
    """The shoppers of one store while a mix of faults is switched on and off."""

    def __init__(self, rig: FaultRig, faults: list[PartialFault], rng: random.Random) -> None:
        self.rig = rig
        self.faults = faults
        self.ledger = Ledger(rig)
        self.events = EventTraffic(rig, self.ledger, rng, _nothing)
        self.noticed = Noticed()
        self.well: list[str] = []
        self.partition = rng.randrange(PARTITIONS)
        self._carts: dict[str, str] = {}
        self._faulty = False
        self._since = 0.0
        self._stopping = asyncio.Event()

    async def run(self, rounds: int) -> Noticed:
        """Runs the shoppers and switches the faults, `rounds` times."""
        await self.ledger.stock_up({SICK_PRODUCT: _MANY, WELL_PRODUCT: _MANY})
        await self._find_well_carts()
        sick = [
            self._sick_shopper(f"sick-{number}", fault) for number, fault in enumerate(self.faults)
        ]
        async with asyncio.TaskGroup() as shoppers:
            for shopper in (*sick, *map(self._well_shopper, self.well)):
                shoppers.create_task(shopper)
            for number in range(rounds):
                await self._window(OFF_SECONDS)
                async with self._all_applied():
                    self._faulty = True
                    await self._window(ON_SECONDS)
                    if number == rounds - 1:
                        await self._order_from_well_carts()
                        self._stopping.set()
                        await self._effects_are_done()
                self._faulty = False
        observed = await observe(self.rig, self.ledger, [])
        self.noticed.violations = [str(violation) for violation in violations(observed)]
        return self.noticed

    async def _window(self, seconds: float) -> None:
        self._since = time.monotonic()
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def _all_applied(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            for number, fault in enumerate(self.faults):
                part = SickPart(
                    self.ledger.store_id, f"sick-{number}", SICK_PRODUCT, self.partition
                )
                await held.enter_async_context(applied(self.rig, fault, part))
            yield

    async def _find_well_carts(self) -> None:
        """Creates carts until enough of them have events in partitions that stay well."""
        number = 0
        while len(self.well) < WELL_SHOPPERS:
            user_id = f"well-{number}"
            number += 1
            reply = await self._send(user_id, WELL_PRODUCT, CartAction.ADD, 3)
            assert reply.cart is not None, reply
            cart_id = self._carts[user_id] = reply.cart["_id"]
            if partition_of(cart_id) != self.partition:
                self.well.append(user_id)

    async def _well_shopper(self, user_id: str) -> None:
        quantity = 3
        while not self._stopping.is_set():
            for action in (CartAction.ADD, CartAction.INCREASE, CartAction.DECREASE):
                began, faulty = time.monotonic(), self._faulty
                wanted = {CartAction.ADD: 1, CartAction.INCREASE: quantity + 3}.get(action, 3)
                reply = await self._send(user_id, WELL_PRODUCT, action, wanted)
                if reply.cart is not None:
                    [line] = reply.cart["cartItems"]
                    quantity = line["productQuantity"]
                measured = faulty or began > self._since + SETTLING_SECONDS
                if faulty is self._faulty:
                    self.noticed.timed.append(Timed(reply, faulty, measured))
                await _pause(began, EVERY_SECONDS)

    async def _sick_shopper(self, user_id: str, fault: PartialFault) -> None:
        product = SICK_PRODUCT if fault.system is System.INVENTORY else WELL_PRODUCT
        while not self._stopping.is_set():
            for action in (CartAction.ADD, CartAction.DECREASE, CartAction.CLEAR):
                began = time.monotonic()
                wanted = 2 if action is CartAction.ADD else 1
                reply = await self._send(user_id, product, action, wanted)
                if action is CartAction.ADD and reply.cart is not None:
                    self._carts[user_id] = reply.cart["_id"]
                await _pause(began, SICK_EVERY_SECONDS)

    async def _send(
        self, user_id: str, product_id: str, action: CartAction, quantity: int
    ) -> ClientReply:
        number = len(self.ledger.requests)
        request = CartRequest(
            number,
            user_id,
            product_id,
            quantity,
            f"key-{number}",
            RetryHabit.NEVER_RETRIES,
            action,
            cart_id=self._carts.get(user_id, "0" * 24),
        )
        self.ledger.requests.append(request)
        return await self.ledger.send(request)

    async def _order_from_well_carts(self) -> None:
        """Sends an event of another service for each well cart."""
        for user_id in self.well:
            await self.events.order(
                user_id, self._carts[user_id], Order(), product_id=WELL_PRODUCT, quantity=1
            )

    async def _effects_are_done(self) -> None:
        """Waits until everything that the well carts have caused is done."""
        ordered = self.events.settled()
        mine = {"storeId": self.ledger.store_id, "userId": {"$in": self.well}}
        self.noticed.undone = ["not looked at"]

        async def done() -> None:
            pending = self.rig.database["operations"].find({**mine, "pending": True})
            self.noticed.undone = [
                f"{record['userId']}: {record['operation']} is pending: {record['due']}"
                async for record in pending
            ]
            try:
                await ordered()
            except AssertionError as error:
                self.noticed.undone.append(str(error))
            self.noticed.undone += await self._uncached()
            assert not self.noticed.undone

        try:
            await eventually(done, timeout=EFFECT_SECONDS, interval=0.25)
        except AssertionError:
            return

    async def _uncached(self) -> list[str]:
        """The well carts whose current version is not cached."""
        store_id = self.ledger.store_id
        mine = {"storeId": store_id, "userId": {"$in": self.well}}
        found = []
        async with Redis.from_url(self.rig.settings.redis.get_secret_value()) as redis:
            async for cart in self.rig.database["carts"].find(mine):
                cached = await redis.get(f"Cart:{store_id}:{cart['userId']}:latest_version")
                if int(cached or 0) != cart["version"]:
                    found.append(f"{cart['userId']}: version {cart['version']}, {cached!r} cached")
        return found


async def _pause(began: float, seconds: float) -> None:
    await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))


async def _nothing(_: int) -> None:
    """Nothing strikes when an event is sent."""
