"""The inventory client's circuit breakers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from adapters import breaker
from adapters.inventory import COOLDOWN_SECONDS, InventoryClient
from models.effects import ReleaseEffect
from models.errors import DependencyTimeout, DependencyUnavailable, EffectRefused
from models.steps import Reservation, ReserveInventory
from tests.support.waiting import eventually

RELEASE = ReleaseEffect(
    id="effect-1", product_id="p", quantity=1, saga_id="s", reason="saga_aborted"
)
HOLD = ReserveInventory(store_id="store", product_id="p", user_id="user", saga_id="s", quantity=1)
FAILURES = 3


class FakeInventory:
    """An HTTP session with scripted responses, which counts the calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.status = 200
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    @asynccontextmanager
    async def request(self, method: str, url: str, **_: object) -> AsyncIterator["FakeInventory"]:
        """As `aiohttp.ClientSession.request`; the response is this object."""
        self.calls += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        yield self

    @property
    def content(self) -> "FakeInventory":
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        """The body, as of an `aiohttp.StreamReader`."""
        yield b'{"success": true, "available": 4}'

    async def close(self) -> None:
        return


class FakeMonotonicClock:
    """The clock of the circuit breakers; it only moves by `cool_down`."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def cool_down(self) -> None:
        self.now += COOLDOWN_SECONDS


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeMonotonicClock:
    clock = FakeMonotonicClock()
    monkeypatch.setattr(breaker, "time", clock)
    return clock


@pytest.fixture
def inventory(clock: FakeMonotonicClock) -> FakeInventory:
    return FakeInventory()


@pytest.fixture
async def client(inventory: FakeInventory) -> AsyncIterator[InventoryClient]:
    client = InventoryClient("http://inventory", timeout_seconds=1)
    await client.close()
    client._http._http = inventory  # type: ignore[assignment]
    yield client
    await client.close()


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
async def test_an_open_circuit_fails_calls_at_once_as_unavailable(
    client: InventoryClient, inventory: FakeInventory, call: Call, failure: int | Exception
) -> None:
    if isinstance(failure, int):
        inventory.status = failure
    else:
        inventory.error = failure
    await fail(client, call)
    for _ in range(5):
        with pytest.raises(DependencyUnavailable, match="circuit open after") as raised:
            await call(client)
        # The saga retries this error, unlike a timeout, since the call took no time.
        assert not isinstance(raised.value, DependencyTimeout)
    assert inventory.calls == FAILURES


async def test_failures_between_successes_do_not_open_the_circuit(
    client: InventoryClient, inventory: FakeInventory
) -> None:
    for _ in range(3):
        inventory.status = 500
        await fail(client, reserve, FAILURES - 1)
        inventory.status = 409  # a refusal for stock is a success of the call
        assert not (await client.reserve(HOLD)).granted


async def test_a_refused_release_does_not_open_the_circuit(
    client: InventoryClient, inventory: FakeInventory
) -> None:
    inventory.status = 422
    for _ in range(2 * FAILURES):
        with pytest.raises(EffectRefused):
            await client.release("store", "user", RELEASE)


async def test_failed_releases_do_not_block_reserves(
    client: InventoryClient, inventory: FakeInventory
) -> None:
    inventory.status = 500
    await fail(client, release)
    inventory.status = 200
    assert (await client.reserve(HOLD)).granted


async def trial_under_way(
    client: InventoryClient, inventory: FakeInventory, clock: FakeMonotonicClock
) -> "asyncio.Task[Reservation]":
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
    client: InventoryClient, inventory: FakeInventory, clock: FakeMonotonicClock
) -> None:
    trial = await trial_under_way(client, inventory, clock)
    with pytest.raises(DependencyUnavailable, match="circuit open"):
        await client.reserve(HOLD)
    inventory.gate.set()
    assert (await trial).granted
    assert (await client.reserve(HOLD)).granted


async def test_a_failed_trial_opens_the_circuit_again(
    client: InventoryClient, inventory: FakeInventory, clock: FakeMonotonicClock
) -> None:
    inventory.status = 500
    await fail(client, reserve)
    clock.cool_down()
    await fail(client, reserve, 1)
    with pytest.raises(DependencyUnavailable, match="circuit open"):
        await client.reserve(HOLD)
    assert inventory.calls == FAILURES + 1


async def test_after_a_cancelled_trial_the_next_call_is_the_trial(
    client: InventoryClient, inventory: FakeInventory, clock: FakeMonotonicClock
) -> None:
    trial = await trial_under_way(client, inventory, clock)
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    inventory.gate.set()
    assert (await client.reserve(HOLD)).granted


async def test_a_release_by_a_relay_is_sent_despite_an_open_circuit_and_closes_it(
    client: InventoryClient, inventory: FakeInventory, clock: FakeMonotonicClock
) -> None:
    inventory.status = 500
    await fail(client, release)
    with pytest.raises(DependencyUnavailable, match="answered 500"):
        await client.release("store", "user", RELEASE, bypass_breaker=True)
    inventory.status = 200
    await client.release("store", "user", RELEASE, bypass_breaker=True)
    await client.release("store", "user", RELEASE)
