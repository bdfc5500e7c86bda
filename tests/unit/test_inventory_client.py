"""What the Inventory Service's answers to a release mean, and what it costs when it has none."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from adapters import breaker
from adapters.inventory import COOLDOWN_SECONDS, InventoryClient
from models.errors import (
    CartServiceError,
    DependencyTimeout,
    DependencyUnavailable,
    EffectRefused,
)
from models.messages import ReleaseEffect
from models.steps import HoldAnswer, ReserveHold
from tests.support.waiting import eventually

RELEASE = ReleaseEffect(
    id="effect-1", product_id="p", quantity=1, saga_id="s", reason="saga_aborted"
)
HOLD = ReserveHold(store_id="store", product_id="p", user_id="user", saga_id="s", quantity=1)
FAILURES = 3


class Inventory:
    """Answers each call as it is told, and counts them."""

    def __init__(self) -> None:
        self.calls = 0
        self.status = 200
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def request(self, method: str, url: str, **_: object) -> AsyncIterator["Inventory"]:
        """As `aiohttp.ClientSession`; the answer is this."""
        self.calls += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        yield self

    async def read(self) -> bytes:
        return b'{"success": true, "available": 4}'

    async def close(self) -> None:
        return


class Clock:
    """The time as circuits see it; it stands still."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def cool_down(self) -> None:
        self.now += COOLDOWN_SECONDS


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(breaker, "time", clock)
    return clock


@pytest.fixture
def inventory(clock: Clock) -> Inventory:
    return Inventory()


@pytest.fixture
async def client(inventory: Inventory) -> AsyncIterator[InventoryClient]:
    client = InventoryClient("http://inventory", timeout_seconds=1)
    await client.close()
    client._http = inventory  # type: ignore[assignment]
    yield client
    await client.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        *((status, EffectRefused) for status in (400, 404, 405, 409, 410, 413, 422)),
        *((status, DependencyUnavailable) for status in (401, 403, 407, 408, 425, 429)),
        *((status, DependencyUnavailable) for status in (204, 302, 500, 502, 503)),
    ],
)
async def test_a_release_that_is_not_accepted(
    client: InventoryClient, inventory: Inventory, status: int, error: type[CartServiceError]
) -> None:
    inventory.status = status
    with pytest.raises(error, match=f"answered {status}") as raised:
        await client.release("store", "user", RELEASE)
    if isinstance(raised.value, EffectRefused):
        assert raised.value.effect_id == "effect-1"


async def reserve(client: InventoryClient) -> None:
    await client.reserve(HOLD)


async def release(client: InventoryClient) -> None:
    await client.release("store", "user", RELEASE)


Call = Callable[[InventoryClient], Awaitable[None]]


async def fail(client: InventoryClient, call: Call, times: int = FAILURES) -> None:
    for _ in range(times):
        with pytest.raises(DependencyUnavailable) as raised:
            await call(client)
        assert "circuit open" not in str(raised.value)


@pytest.mark.parametrize("call", [reserve, release])
@pytest.mark.parametrize(
    "failure",
    [500, 503, aiohttp.SocketTimeoutError("slow"), aiohttp.ClientConnectionError("refused")],
)
async def test_after_a_few_failures_a_call_costs_nothing_and_is_no_refusal(
    client: InventoryClient, inventory: Inventory, call: Call, failure: int | Exception
) -> None:
    if isinstance(failure, int):
        inventory.status = failure
    else:
        inventory.error = failure
    await fail(client, call)
    for _ in range(5):
        with pytest.raises(DependencyUnavailable, match="circuit open after") as raised:
            await call(client)
        # A timeout is not tried again by the saga; this is, since it took no time.
        assert not isinstance(raised.value, DependencyTimeout)
    assert inventory.calls == FAILURES


async def test_failures_that_are_not_in_a_row_open_nothing(
    client: InventoryClient, inventory: Inventory
) -> None:
    for _ in range(3):
        inventory.status = 500
        await fail(client, reserve, FAILURES - 1)
        inventory.status = 409  # too few units: the service is well
        assert not (await client.reserve(HOLD)).granted


async def test_a_refused_release_opens_nothing(
    client: InventoryClient, inventory: Inventory
) -> None:
    inventory.status = 422
    for _ in range(2 * FAILURES):
        with pytest.raises(EffectRefused):
            await client.release("store", "user", RELEASE)


async def test_releases_that_fail_keep_no_reserve_from_being_tried(
    client: InventoryClient, inventory: Inventory
) -> None:
    inventory.status = 500
    await fail(client, release)
    inventory.status = 200
    assert (await client.reserve(HOLD)).granted


async def trial_under_way(
    client: InventoryClient, inventory: Inventory, clock: Clock
) -> "asyncio.Task[HoldAnswer]":
    """The one reserve that an open circuit lets through; it is answered when the gate opens."""
    inventory.status = 500
    await fail(client, reserve)
    clock.cool_down()
    inventory.status = 200
    inventory.gate.clear()
    trial = asyncio.create_task(client.reserve(HOLD))

    async def under_way() -> None:
        assert inventory.calls == FAILURES + 1

    await eventually(under_way)
    return trial


async def test_one_trial_at_a_time_closes_the_circuit(
    client: InventoryClient, inventory: Inventory, clock: Clock
) -> None:
    trial = await trial_under_way(client, inventory, clock)
    with pytest.raises(DependencyUnavailable, match="circuit open"):
        await client.reserve(HOLD)
    inventory.gate.set()
    assert (await trial).granted
    assert (await client.reserve(HOLD)).granted


async def test_a_trial_that_fails_opens_it_anew(
    client: InventoryClient, inventory: Inventory, clock: Clock
) -> None:
    inventory.status = 500
    await fail(client, reserve)
    clock.cool_down()
    await fail(client, reserve, 1)
    with pytest.raises(DependencyUnavailable, match="circuit open"):
        await client.reserve(HOLD)
    assert inventory.calls == FAILURES + 1


async def test_a_trial_that_is_cancelled_leaves_it_to_the_next_call(
    client: InventoryClient, inventory: Inventory, clock: Clock
) -> None:
    trial = await trial_under_way(client, inventory, clock)
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    inventory.gate.set()
    assert (await client.reserve(HOLD)).granted


async def test_a_release_that_nobody_waits_for_is_sent_anyway_and_closes_the_circuit(
    client: InventoryClient, inventory: Inventory, clock: Clock
) -> None:
    inventory.status = 500
    await fail(client, release)
    with pytest.raises(DependencyUnavailable, match="answered 500"):
        await client.release("store", "user", RELEASE, anyway=True)
    inventory.status = 200
    await client.release("store", "user", RELEASE, anyway=True)
    await client.release("store", "user", RELEASE)
