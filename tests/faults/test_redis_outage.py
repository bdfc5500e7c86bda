"""Reads after a reply are never stale while Redis is frozen, killed, cut off, read-only or full."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from redis.asyncio import Redis

from tests.faults.cart_requests import CartAction, CartRequest, RetryHabit
from tests.faults.invariants import violations
from tests.faults.observed_state import observe
from tests.faults.proxy import Mode
from tests.faults.rig import FaultRig
from tests.faults.shoppers import Ledger, perform, prepare
from tests.support.outages import down

SHOPPERS = 6
ROUND = (CartAction.ADD, CartAction.INCREASE, CartAction.CLEAR, CartAction.ADD, CartAction.REMOVE)
"""The requests of a shopper, who begins at a place of its own."""

Outage = Callable[[FaultRig], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def frozen(rig: FaultRig) -> AsyncIterator[None]:
    """Redis does what it was sent meanwhile when it goes on."""
    rig.stack.pause("redis")
    try:
        yield
    finally:
        rig.stack.resume("redis")
        await rig.stack.wait_ready("redis")


def killed(rig: FaultRig) -> AbstractAsyncContextManager[None]:
    """Redis comes back with the carts that it had before."""
    return down(rig.stack, "redis")


@asynccontextmanager
async def killed_when_frozen(rig: FaultRig) -> AsyncIterator[None]:
    """Redis loses what it was sent while it was frozen."""
    rig.stack.pause("redis")
    try:
        yield
    finally:
        async with killed(rig):
            pass


@asynccontextmanager
async def cut_off(rig: FaultRig) -> AsyncIterator[None]:
    """Only the workers cannot reach Redis, so the API reads what they could not replace."""
    async with rig.links["worker-redis"].broken(Mode.CUT):
        yield


@asynccontextmanager
async def read_only(rig: FaultRig) -> AsyncIterator[None]:
    """Redis is a replica of a server that is not there."""
    async with Redis.from_url(rig.settings.redis.get_secret_value()) as redis:
        await redis.replicaof("127.0.0.1", "1")
        try:
            yield
        finally:
            await redis.replicaof("NO", "ONE")


@asynccontextmanager
async def full(rig: FaultRig) -> AsyncIterator[None]:
    """Redis refuses to write, and still has all carts."""
    async with Redis.from_url(rig.settings.redis.get_secret_value()) as redis:
        await redis.config_set("maxmemory", "1")
        try:
            yield
        finally:
            await redis.config_set("maxmemory", "0")


async def shop(ledger: Ledger) -> int:
    """Each shopper makes its requests, one after the other, and reads its cart after each.

    Returns the number of reads.
    """

    async def one(number: int) -> None:
        for action in (*ROUND[number % len(ROUND) :], *ROUND[: number % len(ROUND)]):
            user, place = f"user-{number}", len(ledger.requests)
            request = CartRequest(
                place, user, "lamp", 1, f"{user}-{place}", RetryHabit.RETRIES, action
            )
            await prepare(ledger, request)
            await perform(ledger, request)

    before = len(ledger.reads)
    await asyncio.gather(*map(one, range(SHOPPERS)))
    return len(ledger.reads) - before


@pytest.mark.parametrize("outage", [frozen, killed, killed_when_frozen, cut_off, read_only, full])
async def test_reads_are_never_stale_whatever_redis_has_missed(
    rig: FaultRig, outage: Outage
) -> None:
    ledger = Ledger(rig)
    await ledger.stock_up({"lamp": 1000})
    before = await shop(ledger)
    async with outage(rig):
        meanwhile = await shop(ledger)
    after = await shop(ledger)
    assert min(before, meanwhile, after) >= SHOPPERS * len(ROUND)
    observed = await observe(rig, ledger, [])
    assert [str(violation) for violation in violations(observed)] == []
