"""`python -m tests.faults.load --seconds 60`: a hundred shoppers compete for ten units.

Each shopper adds, updates, removes and clears one product, and adds it with another one in a batch,
each request right after the last reply.
There are no faults. At the end all invariants are checked. Exit code 1 when one does not hold. The
test suite runs the same for a number of requests.
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

from tests.faults.cart_requests import PLENTY, UPDATES, CartAction, CartRequest, RetryHabit
from tests.faults.invariants import Violation, violations
from tests.faults.long_run import quiet_run
from tests.faults.observed_state import observe
from tests.faults.rig import FaultRig, running_rig
from tests.faults.shoppers import RETRY_SECONDS, Ledger, perform

PRODUCT, UNITS = "rare-a", 10
COMPANION = PLENTY[0]
CLIENTS = 100
_WEIGHTS = {
    CartAction.ADD: 5,
    CartAction.INCREASE: 2,
    CartAction.DECREASE: 2,
    CartAction.REMOVE: 2,
    CartAction.CLEAR: 1,
    CartAction.BATCH: 1,
}


async def load(
    rig: FaultRig, *, keep_going: Callable[[int], bool], clients: int = CLIENTS
) -> tuple[Counter[str], list[Violation]]:
    """Runs the buyers; returns how often each action had each status, and the violations.

    A buyer stops when `keep_going` returns false for the number of requests that it has made.
    """
    ledger = Ledger(rig)
    await ledger.stock_up({PRODUCT: UNITS, COMPANION: 10_000})
    await asyncio.gather(*(_run_shopper(ledger, f"user-{n}", keep_going) for n in range(clients)))
    replies_by_kind = Counter(
        f"{one.action} {one.status}" for request in ledger.requests for one in request.replies
    )
    return replies_by_kind, violations(await observe(rig, ledger, []))


async def _run_shopper(ledger: Ledger, user: str, keep_going: Callable[[int], bool]) -> None:
    """Makes one request after the other for one shopper."""
    rng = random.Random(user)
    number = 0
    while keep_going(number):
        try:
            cart = await ledger.cart(user)
        except httpx.TransportError:  # too busy for now
            await asyncio.sleep(RETRY_SECONDS)
            continue
        lines = (
            {one["productId"]: one["productQuantity"] for one in cart["cartItems"]} if cart else {}
        )
        held = lines.get(PRODUCT, 0)
        # Without the product only an add is possible.
        action = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0] if held else CartAction.ADD
        some = rng.randint(1, 3)
        request = CartRequest(
            number=number,
            user_id=user,
            product_id=PRODUCT,
            quantity=max(1, held + (some if action is CartAction.INCREASE else -some))
            if action in UPDATES
            else some,
            key=f"{user}-{number}",
            habit=RetryHabit.RETRIES,
            action=action,
            cart_id=cart["_id"] if cart else None,
        )
        await perform(ledger, request)
        number += 1


async def run(seconds: float, folder: Path) -> bool:
    """Whether all invariants held."""
    async with running_rig(folder, lambda _: None) as rig:
        deadline = time.monotonic() + seconds
        replies_by_kind, found = await load(rig, keep_going=lambda _: time.monotonic() < deadline)
    lines = [
        f"{CLIENTS} shoppers, {UNITS} units, {seconds:g} s: {replies_by_kind.total()} requests, "
        f"{len(found)} violations",
        *(f"  {label:12} {times}" for label, times in sorted(replies_by_kind.items())),
        *(f"  {violation}" for violation in found),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return not found


def main() -> int:
    """Exit code 0 when all invariants held."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    with quiet_run("load") as folder:
        return 0 if asyncio.run(run(given.seconds, folder)) else 1


if __name__ == "__main__":
    sys.exit(main())
