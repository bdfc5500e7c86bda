"""One block of the fault matrix: sagas under faults, chosen by a seed, in a store of its own.

The shoppers' traffic runs, the faults strike, and at the end all invariants are checked. The test
suite runs one block, `chaos` many.
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.faults.cart_requests import (
    PLENTY,
    SCARCE,
    SHOPPER_ACTIONS,
    CartAction,
    CartRequest,
    RetryHabit,
)
from tests.faults.fault_catalog import PlannedFault, plan
from tests.faults.fault_injection import Hit, Injector
from tests.faults.invariants import Violation, violations
from tests.faults.observed_state import observe
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger, perform, prepare, run_shoppers
from tests.faults.triggers import Trigger

SAGAS_PER_BUYER = 6
MORE_TRIES = 4
"""How many more requests are made for a fault whose request did not reach its moment."""
RELAY_SECONDS = 15.0
_MANY = 1_000_000
_FEW = 12


@dataclass
class MatrixBlock:
    """The result of a block."""

    number: int
    store_id: str
    sagas: int
    hits: list[Hit]
    missed: list[PlannedFault]
    violations: list[Violation]
    took: float
    quiet_after: float


async def run_matrix_block(
    rig: FaultRig,
    *,
    seed: int,
    number: int,
    sagas: int,
    faults: int,
    user: Callable[[int], str] = "user-{}".format,
) -> MatrixBlock:
    """Runs one block; its choices depend only on the seed, its number and its size."""
    begun = time.monotonic()
    rng = random.Random(f"{seed}/{number}")
    injector = Injector(rig)
    ledger = Ledger(rig)
    await ledger.stock_up(dict.fromkeys(PLENTY, _MANY) | dict.fromkeys(SCARCE, _FEW))
    planned = {one.saga: one for one in plan(rng, sagas=range(sagas), faults=faults)}
    requests = _requests(rng, sagas, planned, user)
    armed: dict[int, Trigger] = {}

    async def arm(request: CartRequest) -> None:
        if request.number in planned:
            armed[request.number] = injector.arm(
                planned[request.number], ledger.store_id, request.user_id, request.product_id
            )

    await run_shoppers(ledger, requests, arm)
    missed = await _try_again(ledger, injector, requests, planned, armed)
    await injector.healed()
    observed = await observe(rig, ledger, injector.hits)
    return MatrixBlock(
        number=number,
        store_id=ledger.store_id,
        sagas=len(ledger.requests),
        hits=injector.hits,
        missed=missed,
        violations=violations(observed),
        took=time.monotonic() - begun,
        quiet_after=observed.quiet_after,
    )


def _requests(
    rng: random.Random, sagas: int, planned: dict[int, PlannedFault], user: Callable[[int], str]
) -> list[CartRequest]:
    buyers = max(4, sagas // SAGAS_PER_BUYER)
    habits, whats = list(RetryHabit), list(SHOPPER_ACTIONS)
    habit_weights, what_weights = [6, 1, 1, 1, 1], [8, 3, 3, 3, 1, 2, 1, 3]
    return [
        CartRequest(
            number=number,
            user_id=user(rng.randrange(buyers)),
            # A request for a scarce product may be refused before its moment.
            product_id=rng.choice(PLENTY if number in planned else (*PLENTY, *SCARCE)),
            quantity=rng.randint(1, 3),
            key=f"key-{number}",
            habit=rng.choices(habits, habit_weights)[0],
            action=_what(planned.get(number), rng.choices(whats, what_weights)[0]),
        )
        for number in range(sagas)
    ]


def _what(planned: PlannedFault | None, otherwise: CartAction) -> CartAction:
    return planned.action if planned else otherwise


async def _try_again(
    ledger: Ledger,
    injector: Injector,
    requests: list[CartRequest],
    planned: dict[int, PlannedFault],
    armed: dict[int, Trigger],
) -> list[PlannedFault]:
    """Makes more requests for faults that have not struck; the faults that never did."""

    async def try_again(number: int) -> None:
        trigger, request = armed[number], requests[number]
        if trigger.setup_failed:  # the relay reaches the moment later
            with suppress(TimeoutError):
                async with asyncio.timeout(RELAY_SECONDS):
                    await trigger.fired.wait()
        for attempt in range(MORE_TRIES):
            if trigger.fired.is_set():
                return
            another = CartRequest(
                number=number,
                user_id=request.user_id,
                product_id=request.product_id,
                quantity=1,
                key=f"{request.key}-again-{attempt}",
                habit=RetryHabit.RETRIES,
                action=request.action,
            )
            await prepare(ledger, another)
            await perform(ledger, another)

    await asyncio.gather(*(try_again(number) for number in armed))
    for trigger in armed.values():
        injector.rig.triggers.disarm(trigger)
    return [planned[number] for number, trigger in armed.items() if not trigger.fired.is_set()]
