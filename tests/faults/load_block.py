"""One run of the load: buyers of a few units who check out, pay, cancel and merge, under faults.

The store has settings of its own: holds and checkouts end after seconds, by the schedules that the
service has, which are triggered more often here. Every few seconds there is another product, of
which there are ten. At the end, when all holds and checkouts have ended, all invariants are
checked. The test suite runs a short one, `load` a long one.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from temporalio.service import RPCError

from tests.faults.cart_requests import OFFERS, PLENTY
from tests.faults.event_traffic import EventTraffic
from tests.faults.fault_injection import Hit, Injector
from tests.faults.invariants import Violation, violations
from tests.faults.load_buyer import Buyer, End, Market
from tests.faults.load_faults import LoadFaults, faults_of
from tests.faults.observed_state import ObservedState, observe
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger
from tests.support.waiting import eventually
from workflows.ids import CHECKOUTS_SCHEDULE, HOLDS_SCHEDULE

UNITS = 10
STORE_SETTINGS = {"holdMinutes": 0.1, "holdMaxMinutes": 0.5, "checkoutMinutes": 0.2}
OFFER_SECONDS = 6.0
TICK_SECONDS = 1.0
SETTLE_SECONDS = 120.0
_MANY = 1_000_000


@dataclass
class LoadResult:
    """What was sent and answered, what it led to, and what was wrong."""

    replies: Counter[str]
    """Action and status of each reply, such as `add 201`."""
    changes: Counter[str]
    """The committed changes by their actions."""
    events: Counter[str]
    """What was sent over Kafka, by kind."""
    ends: Counter[End]
    looks: int
    offers: int
    sold: int
    short: int
    hits: list[Hit]
    missed: int
    violations: list[Violation]
    took: float


@dataclass
class LoadRun:
    """A run under way."""

    rig: FaultRig
    ledger: Ledger
    market: Market
    faults: LoadFaults
    began: float = field(default_factory=time.monotonic)
    offers: int = 0

    @property
    def replies(self) -> Counter[str]:
        """Action and status of each reply so far."""
        requests = self.ledger.requests
        return Counter(f"{one.action} {one.status}" for each in requests for one in each.replies)

    @property
    def hits(self) -> list[Hit]:
        return self.faults.injector.hits

    async def next_offer(self) -> None:
        """Offers another product."""
        product_id, self.offers = OFFERS[self.offers], self.offers + 1
        await self.ledger.stock_up({product_id: UNITS})
        self.market.offer = product_id

    async def end_what_is_due(self) -> None:
        """Triggers the schedules that end holds and checkouts."""
        for schedule_id in (HOLDS_SCHEDULE, CHECKOUTS_SCHEDULE):
            with suppress(RPCError):  # Temporal is away
                await self.rig.temporal.get_schedule_handle(schedule_id).trigger()

    async def settle(self) -> None:
        """Waits until all faults are over, all orders have had their effect, and all holds and
        checkouts have ended; the invariants report what has not."""
        injector = self.faults.injector
        self.faults.disarm()
        await injector.healed()
        settled = self.market.traffic.settled()
        due = {"$or": [{"holdsEnd": {"$type": "date"}}, {"checkout": {"$type": "object"}}]}

        async def over() -> None:
            await settled()
            assert await self.rig.producer.unread_count() == 0
            await self.end_what_is_due()
            mine = {"storeId": self.ledger.store_id}
            assert await self.rig.database["carts"].find_one(mine | due) is None

        with suppress(Exception):
            await eventually(over, timeout=SETTLE_SECONDS, interval=TICK_SECONDS)

    def result(self, observed: ObservedState) -> LoadResult:
        short = (record.get("short") or {} for record in observed.committed)
        return LoadResult(
            replies=self.replies,
            changes=Counter(change.request.action for change in observed.changes),
            events=self.market.traffic.count,
            ends=self.market.ends,
            looks=len(self.ledger.looks),
            offers=self.offers,
            sold=sum(units.sold for units in observed.units.values()),
            short=sum(units for one in short for units in one.values()),
            hits=self.hits,
            missed=self.faults.missed,
            violations=violations(observed),
            took=time.monotonic() - self.began,
        )


async def run_load(
    rig: FaultRig,
    *,
    seed: int,
    buyers: int,
    faults: int,
    seconds: float,
    keep_going: Callable[[int], bool],
    on_tick: Callable[[LoadRun], None] = lambda _: None,
) -> LoadResult:
    """Runs the buyers, with the faults spread over `seconds`.

    A buyer stops when `keep_going` returns false for the number of things that it has done.
    `on_tick` is called about every second.
    """
    rng = random.Random(seed)
    ledger, injector = Ledger(rig), Injector(rig)
    armed = faults_of(rng, injector, ledger, count=faults, every=seconds / max(1, faults))
    armed.traffic = traffic = EventTraffic(rig, ledger, rng, armed.before_event)
    run = LoadRun(rig, ledger, Market(ledger, traffic, armed.before_request), armed)
    rig.producer.forget_sent()
    await ledger.configure(STORE_SETTINGS)
    await ledger.stock_up(dict.fromkeys(PLENTY, _MANY))
    await run.next_offer()
    async with _clock(run, on_tick):
        shoppers = (Buyer(run.market, f"user-{number}", seed) for number in range(buyers))
        await asyncio.gather(*(shopper.run(keep_going) for shopper in shoppers))
        await run.settle()
    return run.result(await observe(rig, ledger, injector.hits))


@asynccontextmanager
async def _clock(run: LoadRun, on_tick: Callable[[LoadRun], None]) -> AsyncIterator[None]:
    """Inside, offers follow each other, and what is due ends soon."""

    async def tick() -> None:
        next_offer = time.monotonic() + OFFER_SECONDS
        while True:
            await asyncio.sleep(TICK_SECONDS)
            on_tick(run)
            await run.end_what_is_due()
            if time.monotonic() >= next_offer:
                next_offer += OFFER_SECONDS
                with suppress(Exception):  # the inventory is away
                    await run.next_offer()

    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
