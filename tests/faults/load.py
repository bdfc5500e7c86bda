"""`python -m tests.faults.load --seconds 60`: a hundred buyers, ten units, all they can do.

Each buyer adds, changes, removes and clears as fast as it is answered, all of the one product.
Nothing is broken on purpose; when it is quiet again, what is stored and what was told must agree.
Exit code 1 when they do not. The test suite runs the same for a number of requests.
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from temporalio.runtime import Runtime, TelemetryConfig

from tests.faults.invariants import (
    Found,
    Violation,
    every_hold_is_a_cart_line,
    holds_are_all_held,
    nothing_is_left_to_do,
    stock_is_conserved,
    totals_are_exact,
)
from tests.faults.observed import Observed, read_stored, wait_until_quiet
from tests.faults.rig import Rig, running_rig
from tests.faults.traffic import PRICES, Ledger
from workflows.ids import operation_id

PRODUCT, UNITS = "lamp", 10
CLIENTS = 100
_WISHES = ("add", "update", "remove", "clear")
_WEIGHTS = (5, 3, 3, 1)
_CHANGED = {("POST", 201), ("DELETE", 200)}  # a PUT may have found nothing to change


@dataclass
class Crowd(Ledger):
    """The buyers, and by operation what each was told in the end."""

    buyers: list[str] = field(default_factory=list)
    told: dict[str, tuple[str, int]] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def users(self) -> list[str]:
        return self.buyers


async def shop(crowd: Crowd, user: str, *, goes_on: Callable[[int], bool]) -> None:
    """One buyer, from one wish to the next."""
    crowd.buyers.append(user)
    rng = random.Random(user)
    cart_id = ""
    number = 0
    while goes_on(number):
        wish = rng.choices(_WISHES, _WEIGHTS)[0] if cart_id else "add"
        key = f"{user}-{number}"
        number += 1
        method, url, body = _request(crowd, wish, cart_id, rng.randint(1, 4))
        try:
            answer = await crowd.rig.http.request(
                method, url, json=body, headers=crowd.headers(user) | {"Idempotency-Key": key}
            )
        except httpx.TransportError:
            crowd.statuses[f"{wish} none"] += 1
            continue
        crowd.statuses[f"{wish} {answer.status_code}"] += 1
        crowd.told[operation_id(crowd.store_id, user, key)] = (method, answer.status_code)
        cart_id = answer.json().get("_id", cart_id)


def _request(
    crowd: Crowd, wish: str, cart_id: str, quantity: int
) -> tuple[str, str, dict[str, object] | None]:
    match wish:
        case "add":
            title = {"productTitle": "Lamp", "productPrice": float(PRICES[PRODUCT])}
            return "POST", crowd.path, {"productId": PRODUCT, "quantity": quantity} | title
        case "update":
            body: dict[str, object] = {"productId": PRODUCT, "quantity": quantity}
            return "PUT", f"/api/v1/cart/{cart_id}", body
        case "remove":
            return "DELETE", f"/api/v1/cart/{cart_id}/items/{PRODUCT}", None
        case _:
            return "DELETE", crowd.path, None


def what_was_told_is_so(seen: Observed) -> Found:
    """Who was told that it is done has it committed once, and who was told 4xx has not."""
    assert isinstance(seen.ledger, Crowd)
    committed = Counter(record["operationId"] for record in seen.committed)
    for operation, (method, status) in seen.ledger.told.items():
        if (method, status) in _CHANGED and committed[operation] != 1:
            yield None, f"{method} {status} was committed {committed[operation]} times"
        if 400 <= status < 500 and committed[operation]:
            yield None, f"{method} {status} was committed"


def each_change_has_its_event(seen: Observed) -> Found:
    """The events promised by the committed records are those that were delivered."""
    promised = {
        effect["_id"] if "_id" in effect else effect["id"]
        for record in seen.committed
        for effect in record["effects"]
        if effect["kind"] == "event"
    }
    delivered = {event.value["eventId"] for event in seen.events}
    if promised != delivered:
        yield None, f"{len(promised - delivered)} lost, {len(delivered - promised)} made up"


def versions_of_each_cart_have_no_gap(seen: Observed) -> Found:
    """The committed changes of a cart have the versions 1 to n, each once."""
    versions: dict[str, list[int]] = defaultdict(list)
    for record in seen.committed:
        versions[record["cartId"]].append(record["version"])
    for cart_id, found in versions.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            yield None, f"cart {cart_id} has the versions {sorted(found)}"


INVARIANTS = (
    stock_is_conserved,
    every_hold_is_a_cart_line,
    holds_are_all_held,
    totals_are_exact,
    nothing_is_left_to_do,
    what_was_told_is_so,
    each_change_has_its_event,
    versions_of_each_cart_have_no_gap,
)


async def load(
    rig: Rig, *, clients: int, goes_on: Callable[[int], bool]
) -> tuple[Crowd, list[Violation]]:
    """The crowd when all have had enough, and what does not agree then."""
    crowd = Crowd(rig, clouded=lambda _: False)
    await crowd.stock_up({PRODUCT: UNITS})
    await asyncio.gather(*(shop(crowd, f"user-{n}", goes_on=goes_on) for n in range(clients)))
    seen = Observed(crowd, [])
    seen.quiet_after, seen.open_runs = await wait_until_quiet(rig, crowd)
    await read_stored(rig, seen)
    return crowd, [
        Violation(invariant.__name__, detail, user)
        for invariant in INVARIANTS
        for user, detail in invariant(seen)
    ]


async def run(seconds: float, folder: Path) -> bool:
    """Whether nothing was violated."""
    async with running_rig(folder, lambda _: None) as rig:
        deadline = time.monotonic() + seconds
        crowd, found = await load(
            rig, clients=CLIENTS, goes_on=lambda _: time.monotonic() < deadline
        )
    total = sum(crowd.statuses.values())
    say = sys.stdout.write
    say(f"{CLIENTS} buyers, {UNITS} units, {seconds:g} s: {total} requests, ")
    say(f"{len(found)} violations\n")
    for label, times in sorted(crowd.statuses.items()):
        say(f"  {label:12} {times}\n")
    for violation in found:
        say(f"  {violation}\n")
    return not found


def main() -> int:
    """Exit code 0 when nothing was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=None)))
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="cart-load-") as temporary:
        return 0 if asyncio.run(run(given.seconds, Path(temporary))) else 1


if __name__ == "__main__":
    sys.exit(main())
