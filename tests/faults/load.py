"""`python -m tests.faults.load --seconds 60`: a hundred buyers, ten units, all they can do.

Each buyer adds, changes, removes and clears as fast as it is answered, all of the one product.
Nothing is broken on purpose; when it is quiet again, every invariant is checked. Exit code 1 when
one does not hold. The test suite runs the same for a number of wishes.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.faults.invariants import Violation, violations
from tests.faults.long_run import quiet_run
from tests.faults.observed import observe
from tests.faults.rig import Rig, running_rig
from tests.faults.traffic import RETRY_SECONDS, Ledger, buy
from tests.faults.wishes import UPDATES, Habit, Request, What

PRODUCT, UNITS = "rare-a", 10
CLIENTS = 100
_WEIGHTS = {What.ADD: 5, What.MORE: 2, What.LESS: 2, What.REMOVE: 2, What.CLEAR: 1}


async def load(
    rig: Rig, *, goes_on: Callable[[int], bool], clients: int = CLIENTS
) -> tuple[Counter[str], list[Violation]]:
    """How often each wish was told what when all have had enough, and what does not hold then.

    `goes_on` is asked with the number of wishes that a buyer has had.
    """
    ledger = Ledger(rig, is_clouded=lambda _, __: False)
    await ledger.stock_up({PRODUCT: UNITS})
    await asyncio.gather(*(_shop(ledger, f"user-{n}", goes_on) for n in range(clients)))
    told = Counter(
        f"{one.what} {one.status}" for request in ledger.requests for one in request.told
    )
    return told, violations(await observe(rig, ledger, []))


async def _shop(ledger: Ledger, user: str, goes_on: Callable[[int], bool]) -> None:
    """One buyer, from one wish to the next."""
    rng = random.Random(user)
    number = 0
    while goes_on(number):
        try:
            cart = await ledger.cart(user)
        except httpx.TransportError:  # too busy for now
            await asyncio.sleep(RETRY_SECONDS)
            continue
        held = cart["quantity"] if cart else 0
        # Who has nothing can only add; a few try what cannot be done.
        what = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0] if cart else What.ADD
        some = rng.randint(1, 3)
        request = Request(
            number=number,
            user_id=user,
            product_id=PRODUCT,
            quantity=max(1, held + (some if what is What.MORE else -some))
            if what in UPDATES
            else some,
            key=f"{user}-{number}",
            habit=Habit.INSISTS,
            what=what,
            cart_id=cart["_id"] if cart else None,
        )
        await buy(ledger, request)
        number += 1


async def run(seconds: float, folder: Path) -> bool:
    """Whether everything held."""
    async with running_rig(folder, lambda _: None) as rig:
        deadline = time.monotonic() + seconds
        told, found = await load(rig, goes_on=lambda _: time.monotonic() < deadline)
    lines = [
        f"{CLIENTS} buyers, {UNITS} units, {seconds:g} s: {told.total()} requests, "
        f"{len(found)} violations",
        *(f"  {label:12} {times}" for label, times in sorted(told.items())),
        *(f"  {violation}" for violation in found),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return not found


def main() -> int:
    """Exit code 0 when everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with quiet_run("load") as folder:
        return 0 if asyncio.run(run(given.seconds, folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
