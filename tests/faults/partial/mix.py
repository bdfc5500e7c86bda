"""A random mix of partial faults, and what the well carts notice of it.

All shoppers send their requests at the same pace from the beginning to the end, while the faults
are switched on and off. The requests of the well carts in both kinds of window are compared.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from statistics import median

import httpx
from redis.asyncio import Redis

from cli.setup import PARTITIONS
from tests.faults.cart_requests import CartAction, CartRequest, ClientReply, Order, RetryHabit
from tests.faults.event_traffic import EventTraffic
from tests.faults.invariants import violations
from tests.faults.known_bugs import KnownBug, buggy_user
from tests.faults.observed_state import ObservedState, observe
from tests.faults.partial.faults import PartialFault, SickPart, System, applied
from tests.faults.partial.kafka import partition_of
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger
from tests.support.waiting import eventually

SICK_PRODUCT, WELL_PRODUCT = "desk", "lamp"
WELL_SHOPPERS, SICK_SHOPPERS = 4, 3
EVERY_SECONDS, SICK_EVERY_SECONDS, AGAIN_SECONDS = 0.5, 0.8, 0.1
"""The pace of a shopper, so that the machine is not busy with the requests alone."""
WINDOW_SECONDS, WINDOW_REQUESTS = 3.0, 10
"""The least of a window: a slow machine has a longer one."""
ROUNDS = 3
SETTLING_SECONDS = 1.0
"""The beginning of a window without faults that is not compared: the sick carts recover."""
SUCCESS = 0.99
"""The least success under faults, where everything succeeds without them."""
SLOWER = 1.3
TRIES = 3
"""How often the requests are compared: a machine that does other work is slow at times."""
EFFECT_SECONDS = 30.0
"""In which the effects of well carts must be done while the faults last."""
_MANY = 1_000_000


@dataclass(frozen=True)
class Timed:
    """A request of a well cart; `faulty` when it was under way while the faults were on."""

    request: CartRequest
    faulty: bool

    @property
    def reply(self) -> ClientReply:
        return self.request.replies[0]

    @property
    def seconds(self) -> float:
        return self.reply.received_at - self.reply.sent_at


class Compared:
    """The requests of well carts, under faults and without them."""

    def __init__(self, timed: Sequence[Timed]) -> None:
        faulty = [one for one in timed if one.faulty]
        others = [one for one in timed if not one.faulty]
        self.statuses = Counter(one.reply.status for one in faulty)
        self.success, self.usual_success = _success(faulty), _success(others)
        self.ratio = _median(faulty) / _median(others)

    @property
    def is_alike(self) -> bool:
        return self.success >= SUCCESS * self.usual_success and self.ratio <= SLOWER

    def __str__(self) -> str:
        usually = f"{self.usual_success:.2f} succeed without faults"
        return f"{dict(self.statuses)}, {usually}, {self.ratio:.2f} times the time"


class Mix:
    """The shoppers of a store while a mix of faults is switched on and off.

    With `sick_store`, what the inventory fails for is all products of another store. With `bug` all
    carts are served by a build with this bug, and the faults are switched on once: the bug may
    outlast them.
    """

    def __init__(
        self,
        rig: FaultRig,
        faults: list[PartialFault],
        rng: random.Random,
        *,
        sick_store: bool = False,
        bug: KnownBug | None = None,
    ) -> None:
        self.rig = rig
        self._bug = bug
        self.faults = faults
        self.ledger = Ledger(rig)
        self.sick_store = Ledger(rig) if sick_store else None
        self.events = EventTraffic(rig, self.ledger, rng, _nothing)
        self.compared: list[Compared] = []
        self.violations: list[str] = []
        """Of the invariants, after the faults."""
        self._timed: list[Timed] = []
        self.well: list[str] = []
        self.partition = rng.randrange(PARTITIONS)
        self._carts: dict[str, str] = {}
        self._faulty = False
        self._since = 0.0
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Runs the shoppers, switches the faults, and checks the invariants after them."""
        ledgers = [self.ledger, *([self.sick_store] if self.sick_store else [])]
        for ledger in ledgers:
            await ledger.stock_up({SICK_PRODUCT: _MANY, WELL_PRODUCT: _MANY})
        await self._find_well_carts()
        async with asyncio.TaskGroup() as shoppers:
            for number, fault in enumerate(self.faults):
                for user_id in self._sick_users(number, fault):
                    shoppers.create_task(self._sick_shopper(user_id, fault))
            for user_id in self.well:
                shoppers.create_task(self._well_shopper(user_id))
            await self._compare()
            async with self._all_applied():
                await self._order_from_well_carts()
                self._stopping.set()
                await self._effects_are_done()
        for ledger in ledgers:
            observed = await observe(self.rig, ledger, [])
            ledger.noticed += self._uncommitted(observed)
            self.violations += map(str, violations(observed))

    def _uncommitted(self, observed: ObservedState) -> Iterator[tuple[str, str]]:
        """The adds of well carts that were accepted and not committed."""
        committed = {record["operationId"] for record in observed.committed}
        for request in observed.ledger.requests:
            if (
                request.user_id in self.well
                and request.action is CartAction.ADD  # an update may have nothing to change
                and _is_accepted(request.replies[0])
                and observed.ledger.operation_id(request) not in committed
            ):
                yield request.user_id, f"{request.key} was accepted, and is not committed"

    async def _compare(self) -> None:
        """Switches the faults until the requests are alike, or have differed too often."""
        tries, rounds = (TRIES, ROUNDS) if self._bug is None else (1, 1)
        for _ in range(tries):
            begin = len(self._timed)
            for _ in range(rounds):
                await self._window()
                async with self._all_applied():
                    await self._window()
            self.compared.append(Compared(self._timed[begin:]))
            if self.compared[-1].is_alike:
                return

    async def _window(self) -> None:
        self._since, begin = time.monotonic(), len(self._timed)

        async def enough() -> None:
            assert time.monotonic() - self._since > WINDOW_SECONDS
            assert len(self._timed) - begin >= WINDOW_REQUESTS

        await eventually(enough, timeout=10 * WINDOW_SECONDS)

    @asynccontextmanager
    async def _all_applied(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            for number, fault in enumerate(self.faults):
                store_id, product_id = self.ledger.store_id, SICK_PRODUCT
                sick = self._user(f"sick-{number}")
                part = SickPart(store_id, sick, product_id, self.partition)
                if self._is_in_sick_store(fault):
                    assert self.sick_store is not None
                    part = SickPart(self.sick_store.store_id, part.user_id)
                await held.enter_async_context(applied(self.rig, fault, part))
            self._faulty = True
            yield
            self._faulty = False

    def _sick_users(self, number: int, fault: PartialFault) -> list[str]:
        """The shoppers that meet a fault: the one whose cart is sick, or some of a sick product."""
        others = SICK_SHOPPERS if fault.system is System.INVENTORY else 1
        first = self._user(f"sick-{number}")
        return [first, *(f"{first}-{other}" for other in range(1, others))]

    def _user(self, name: str) -> str:
        return name if self._bug is None else buggy_user(self._bug, name)

    def _is_in_sick_store(self, fault: PartialFault) -> bool:
        return fault.system is System.INVENTORY and self.sick_store is not None

    async def _find_well_carts(self) -> None:
        """Creates carts until enough of them have events in partitions that stay well."""
        number = 0
        while len(self.well) < WELL_SHOPPERS:
            user_id = self._user(f"well-{number}")
            number += 1
            await eventually(partial(self._has_cart, user_id), timeout=30)
            if partition_of(self._carts[user_id]) != self.partition:
                self.well.append(user_id)

    async def _has_cart(self, user_id: str) -> None:
        """Adds to the cart; an earlier test may have left a circuit open for a while."""
        await self._send(self.ledger, user_id, WELL_PRODUCT, CartAction.ADD, 3)
        assert user_id in self._carts

    async def _well_shopper(self, user_id: str) -> None:
        quantity = 3
        while not self._stopping.is_set():
            for action in (CartAction.ADD, CartAction.INCREASE, CartAction.DECREASE):
                began, faulty = time.monotonic(), self._faulty
                wanted = {CartAction.ADD: 1, CartAction.INCREASE: quantity + 3}.get(action, 3)
                request = await self._send(self.ledger, user_id, WELL_PRODUCT, action, wanted)
                if (cart := request.replies[0].cart) is not None:
                    quantity = cart["cartItems"][0]["productQuantity"]
                if faulty is self._faulty and (faulty or began > self._since + SETTLING_SECONDS):
                    self._timed.append(Timed(request, faulty))
                await _pause(began, EVERY_SECONDS)

    async def _sick_shopper(self, user_id: str, fault: PartialFault) -> None:
        """Adds, changes and clears; asks again at once while it is refused."""
        product = SICK_PRODUCT if fault.system is System.INVENTORY else WELL_PRODUCT
        ledger = (self.sick_store if self._is_in_sick_store(fault) else None) or self.ledger
        while not self._stopping.is_set():
            for action in (CartAction.ADD, CartAction.DECREASE, CartAction.CLEAR):
                began = time.monotonic()
                wanted = 2 if action is CartAction.ADD else 1
                request = await self._send(ledger, user_id, product, action, wanted)
                if not request.replies[0].committed:
                    await asyncio.sleep(AGAIN_SECONDS)
                    break
                await _pause(began, SICK_EVERY_SECONDS)

    async def _send(
        self, ledger: Ledger, user_id: str, product_id: str, action: CartAction, quantity: int
    ) -> CartRequest:
        number = len(ledger.requests)
        request = CartRequest(
            number,
            user_id,
            product_id,
            quantity,
            f"{ledger.store_id}-{number}",
            RetryHabit.NEVER_RETRIES,
            action,
            cart_id=self._carts.get(user_id, "0" * 24),
        )
        ledger.requests.append(request)
        reply = await ledger.send(request)
        if reply.cart is not None:
            self._carts[user_id] = reply.cart["_id"]
        return request

    async def _order_from_well_carts(self) -> None:
        """Sends an event of another service for each well cart."""
        for user_id in self.well:
            await self.events.order(
                user_id, self._carts[user_id], Order(), product_id=WELL_PRODUCT, quantity=1
            )

    async def _effects_are_done(self) -> None:
        """Waits until all that the well carts have caused is done; notes what is not in time."""
        ordered = self.events.settled()
        late: list[tuple[str, str]] = []

        async def done() -> None:
            late[:] = [*await self._pending(), *await self._uncached()]
            assert not late
            await ordered()

        with suppress(AssertionError):
            await eventually(done, timeout=EFFECT_SECONDS, interval=0.25)
            return
        self.ledger.noticed += late or [("", "orders have had no effect")]

    async def _pending(self) -> list[tuple[str, str]]:
        """The well carts with pending effects."""
        mine = {"storeId": self.ledger.store_id, "userId": {"$in": self.well}, "pending": True}
        return [
            (record["userId"], f"{record['operation']} has effects to do: {record['due']}")
            async for record in self.rig.database["operations"].find(mine)
        ]

    async def _uncached(self) -> list[tuple[str, str]]:
        """The well carts whose current version is not cached."""
        store_id = self.ledger.store_id
        mine = {"storeId": store_id, "userId": {"$in": self.well}}
        found = []
        async with Redis.from_url(self.rig.settings.redis.get_secret_value()) as redis:
            async for cart in self.rig.database["carts"].find(mine):
                user_id, version = cart["userId"], cart["version"]
                cached = await redis.get(f"Cart:{store_id}:{user_id}:latest_version")
                if int(cached or 0) != version:
                    found.append((user_id, f"version {version} is not cached, but {cached!r}"))
        return found


def _success(timed: Sequence[Timed]) -> float:
    return sum(_is_accepted(one.reply) for one in timed) / len(timed)


def _median(timed: Sequence[Timed]) -> float:
    return median(one.seconds for one in timed)


def _is_accepted(reply: ClientReply) -> bool:
    return reply.committed or reply.status == httpx.codes.ACCEPTED


async def _pause(began: float, seconds: float) -> None:
    await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))


async def _nothing(_: int) -> None:
    """Nothing strikes when an event is sent."""
