"""One product that the inventory cannot serve does not stop the adds of another."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
import pytest

from tests.faults.cart_requests import CartRequest, ClientReply, RetryHabit
from tests.faults.invariants import violations
from tests.faults.observed_state import observe
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger

SICK, WELL = "desk", "lamp"
SICK_SHOPPERS, WELL_SHOPPERS, ADDS = 2, 4, 25
SICK_FIRST = 4
"""Failed adds before the others begin: more than open the circuit of a product."""
SUCCESS = 0.99
MANY = 10_000


@dataclass(frozen=True)
class Sickness:
    """A fault of the sick product's reserves, and the statuses that its shoppers may get."""

    fault: dict[str, Any]
    statuses: frozenset[int]
    code: str | None = None


SICKNESSES = {
    "500": Sickness({"fault": "error"}, frozenset({503})),
    "400": Sickness({"fault": "answer", "status": 400}, frozenset({400}), "product_not_accepted"),
    "404": Sickness({"fault": "answer", "status": 404}, frozenset({200}), "insufficient_stock"),
    "slow": Sickness({"fault": "delay", "seconds": 5}, frozenset({202, 409, 503})),
}


async def add(ledger: Ledger, user_id: str, product_id: str) -> ClientReply:
    number = len(ledger.requests)
    request = CartRequest(number, user_id, product_id, 1, f"key-{number}", RetryHabit.NEVER_RETRIES)
    ledger.requests.append(request)
    return await ledger.send(request)


@pytest.mark.parametrize("sickness", SICKNESSES.values(), ids=SICKNESSES.keys())
async def test_others_buy_while_two_shoppers_keep_asking_for_a_sick_product(
    rig: FaultRig, sickness: Sickness
) -> None:
    ledger = Ledger(rig)
    await ledger.stock_up({SICK: 1000, WELL: 1000})
    where = {"storeId": ledger.store_id, "productId": SICK}
    fault = {"action": "reserve", "times": MANY, **where, **sickness.fault}
    (await rig.inventory.post("/faults", json=fault)).raise_for_status()
    sick: list[ClientReply] = []
    failed_often, done = asyncio.Event(), asyncio.Event()

    async def keep_asking(user_id: str) -> None:
        while not done.is_set():
            sick.append(await add(ledger, user_id, SICK))
            if len(sick) >= SICK_FIRST:
                failed_often.set()

    async def buy(user_id: str) -> list[int]:
        return [(await add(ledger, user_id, WELL)).status for _ in range(ADDS)]

    try:
        async with asyncio.TaskGroup() as shoppers:
            for number in range(SICK_SHOPPERS):
                shoppers.create_task(keep_asking(f"sick-{number}"))
            await failed_often.wait()
            bought = await asyncio.gather(*(buy(f"well-{n}") for n in range(WELL_SHOPPERS)))
            done.set()
    finally:
        (await rig.inventory.delete("/faults")).raise_for_status()

    statuses = Counter(status for of_one in bought for status in of_one)
    assert statuses[HTTPStatus.CREATED] >= SUCCESS * statuses.total(), statuses
    assert {reply.status for reply in sick} <= sickness.statuses
    if sickness.code is not None:
        assert {orjson.loads(reply.body)["code"] for reply in sick} == {sickness.code}
    observed = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(observed)] == []
