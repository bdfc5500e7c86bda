"""Faults at moments among sagas, chosen by a seed; in blocks, each a store of its own.

A block's traffic runs, its faults strike, and when all is quiet every invariant is checked. The
test suite runs one block, the long run many.
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.faults.catalog import Planned, plan
from tests.faults.control import Trap
from tests.faults.inject import Hit, Injector
from tests.faults.invariants import Violation, violations
from tests.faults.observed import observe
from tests.faults.rig import Rig
from tests.faults.traffic import Ledger, buy, prepare, shop
from tests.faults.wishes import ASKED, PLENTY, SCARCE, Habit, Request, What

SAGAS_PER_BUYER = 6
MORE_TRIES = 4
"""How many more requests are made for a fault whose moment the planned one did not reach."""
RELAY_SECONDS = 15.0
_MANY = 1_000_000
_FEW = 12


@dataclass
class Block:
    """What one block came to."""

    number: int
    store_id: str
    sagas: int
    hits: list[Hit]
    missed: list[Planned]
    violations: list[Violation]
    took: float
    quiet_after: float


async def run_block(
    rig: Rig,
    *,
    seed: int,
    number: int,
    sagas: int,
    faults: int,
    user: Callable[[int], str] = "user-{}".format,
) -> Block:
    """One block: its choices depend on the seed, its number and its size alone."""
    begun = time.monotonic()
    rng = random.Random(f"{seed}/{number}")
    injector = Injector(rig)
    ledger = Ledger(rig, injector.clouded)
    await ledger.stock_up(dict.fromkeys(PLENTY, _MANY) | dict.fromkeys(SCARCE, _FEW))
    planned = {one.saga: one for one in plan(rng, sagas=range(sagas), faults=faults)}
    requests = _requests(rng, sagas, planned, user)
    traps: dict[int, Trap] = {}

    async def arm(request: Request) -> None:
        if request.number in planned:
            traps[request.number] = injector.arm(
                planned[request.number], ledger.store_id, request.user_id
            )

    await shop(ledger, requests, arm)
    missed = await _try_again(ledger, injector, requests, planned, traps)
    await injector.healed()
    seen = await observe(rig, ledger, injector.hits)
    return Block(
        number=number,
        store_id=ledger.store_id,
        sagas=len(ledger.requests),
        hits=injector.hits,
        missed=missed,
        violations=violations(seen),
        took=time.monotonic() - begun,
        quiet_after=seen.quiet_after,
    )


def _requests(
    rng: random.Random, sagas: int, planned: dict[int, Planned], user: Callable[[int], str]
) -> list[Request]:
    buyers = max(4, sagas // SAGAS_PER_BUYER)
    habits, whats = list(Habit), list(ASKED)
    habit_weights, what_weights = [6, 1, 1, 1, 1], [8, 3, 3, 3, 1]
    return [
        Request(
            number=number,
            user_id=user(rng.randrange(buyers)),
            # What is scarce may be refused, and then the moment does not come.
            product_id=rng.choice(PLENTY if number in planned else (*PLENTY, *SCARCE)),
            quantity=rng.randint(1, 3),
            key=f"key-{number}",
            habit=rng.choices(habits, habit_weights)[0],
            what=_what(planned.get(number), rng.choices(whats, what_weights)[0]),
        )
        for number in range(sagas)
    ]


def _what(planned: Planned | None, otherwise: What) -> What:
    return planned.what if planned else otherwise


async def _try_again(
    ledger: Ledger,
    injector: Injector,
    requests: list[Request],
    planned: dict[int, Planned],
    traps: dict[int, Trap],
) -> list[Planned]:
    """Gives moments that did not come another chance; answers the faults that never struck."""

    async def again(number: int) -> None:
        trap, request = traps[number], requests[number]
        if trap.baited:  # what a relay does comes a little later
            with suppress(TimeoutError):
                async with asyncio.timeout(RELAY_SECONDS):
                    await trap.sprung.wait()
        for attempt in range(MORE_TRIES):
            if trap.sprung.is_set():
                return
            another = Request(
                number=number,
                user_id=request.user_id,
                product_id=request.product_id,
                quantity=1,
                key=f"{request.key}-again-{attempt}",
                habit=Habit.INSISTS,
                what=request.what,
            )
            await prepare(ledger, another)
            await buy(ledger, another)

    await asyncio.gather(*(again(number) for number in traps))
    for trap in traps.values():
        injector.rig.control.disarm(trap)
    return [planned[number] for number, trap in traps.items() if not trap.sprung.is_set()]
