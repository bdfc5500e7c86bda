"""The inventory client's circuit breakers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from structlog.testing import capture_logs

from adapters import breaker
from adapters.breaker import CircuitBreaker
from adapters.inventory import COOLDOWN_SECONDS, InventoryClient
from adapters.service_http import ServiceHttp
from models.effects import ReleaseEffect
from models.errors import DependencyUnavailable, EffectRefused, NotSent
from models.steps import Reservation, ReserveInventory
from tests.support.waiting import eventually

RELEASE = ReleaseEffect(
    id="effect-1", product_id="p", quantity=1, saga_id="s", reason="saga_aborted"
)
HOLD = ReserveInventory(store_id="store", product_id="p", user_id="user", saga_id="s", quantity=1)
PRODUCTS = ("a", "b", "c")
FAILURES = len(PRODUCTS)


class FakeInventory:
    """An HTTP session with scripted responses, which counts the calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.status = 200
        self.headers: dict[str, str] = {}
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
        yield b'{"success": true, "available": 4, "held": 0}'

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
    client = InventoryClient(ServiceHttp("inventory", "http://inventory", timeout_seconds=1))
    await client.close()
    client._http._http = inventory  # type: ignore[assignment]
    yield client
    await client.close()


async def reserve(client: InventoryClient, product: str = "p") -> None:
    await client.reserve(HOLD.model_copy(update={"product_id": product}))


async def release(client: InventoryClient, product: str = "p") -> None:
    await client.release("store", "user", RELEASE.model_copy(update={"product_id": product}))


async def check(client: InventoryClient, product: str = "p") -> None:
    await client.check("store", product)


Call = Callable[[InventoryClient, str], Awaitable[None]]
CALLS = [reserve, release, check]


async def fail(client: InventoryClient, call: Call, *products: str) -> None:
    """Calls that the service gets, and that fail."""
    for product in products or PRODUCTS:
        with pytest.raises(DependencyUnavailable) as raised:
            await call(client, product)
        assert "circuit open" not in str(raised.value)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "failure",
    [500, 503, 401, aiohttp.SocketTimeoutError("slow"), aiohttp.ClientConnectionError("refused")],
)
async def test_an_open_circuit_fails_calls_at_once_as_not_sent(
    client: InventoryClient, inventory: FakeInventory, call: Call, failure: int | Exception
) -> None:
    if isinstance(failure, int):
        inventory.status = failure
    else:
        inventory.error = failure
    await fail(client, call)
    for product in (*PRODUCTS, "another"):
        with pytest.raises(NotSent, match="circuit open after"):
            await call(client, product)
    assert inventory.calls == FAILURES


@pytest.mark.parametrize("call", CALLS)
async def test_a_product_that_keeps_failing_is_refused_alone(
    client: InventoryClient, inventory: FakeInventory, call: Call
) -> None:
    inventory.status = 500
    await fail(client, call, *["sick"] * FAILURES)
    with pytest.raises(NotSent, match=r"circuit open after .* answered 500"):
        await call(client, "sick")
    inventory.status = 200
    for product in PRODUCTS:
        await call(client, product)


async def test_a_product_that_works_again_is_served_after_one_trial(
    client: InventoryClient, inventory: FakeInventory, clock: FakeMonotonicClock
) -> None:
    inventory.status = 500
    await fail(client, reserve, *["sick"] * FAILURES)
    clock.cool_down()
    await fail(client, reserve, "sick")
    with pytest.raises(NotSent):
        await reserve(client, "sick")
    clock.cool_down()
    inventory.status = 200
    await reserve(client, "sick")
    inventory.status = 500
    await fail(client, reserve, *["sick"] * (FAILURES - 1))
    inventory.status = 200
    await reserve(client, "sick")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [400, 404, 409, 410, 422])
async def test_an_answer_about_one_request_is_never_a_failure(
    client: InventoryClient, inventory: FakeInventory, call: Call, status: int
) -> None:
    inventory.status = status
    for product in (*PRODUCTS, *["p"] * FAILURES, *PRODUCTS):
        with suppress(EffectRefused):
            await call(client, product)
    inventory.status = 200
    await call(client, "p")


async def test_the_circuit_stays_closed_while_most_products_work(
    client: InventoryClient, inventory: FakeInventory
) -> None:
    for product in range(FAILURES + 1):
        await reserve(client, f"well-{product}")
    inventory.status = 500
    await fail(client, reserve)
    inventory.status = 200
    await reserve(client, "well-0")
    inventory.status = 500
    await fail(client, reserve, "one-more")
    with pytest.raises(NotSent):
        await reserve(client, "well-0")


async def test_the_log_names_the_reason_once(
    client: InventoryClient, inventory: FakeInventory
) -> None:
    inventory.status = 500
    with capture_logs() as lines:
        await fail(client, reserve)
        with pytest.raises(NotSent):
            await reserve(client)
    [line] = [line for line in lines if line["event"] == "dependency_unavailable"]
    assert line["reason"] == "/api/v1/inventories/reserve answered 500"
    assert line["log_level"] == "warning"


async def test_failed_releases_do_not_block_reserves(
    client: InventoryClient, inventory: FakeInventory
) -> None:
    inventory.status = 500
    await fail(client, release)
    inventory.status = 200
    assert (await client.reserve(HOLD)).granted


async def test_the_circuit_of_a_subject_can_open_earlier_than_that_of_all() -> None:
    breaker = CircuitBreaker("x", call="y", failures=3, cooldown_seconds=60, subject_failures=1)
    with pytest.raises(DependencyUnavailable):
        async with breaker.guard("sick"):
            raise DependencyUnavailable("x")
    with pytest.raises(NotSent):
        async with breaker.guard("sick"):
            pass
    async with breaker.guard("well"):
        assert not breaker.is_open


@pytest.mark.parametrize("failures", [1, 2, 3])
async def test_without_subjects_consecutive_failures_open_the_circuit(failures: int) -> None:
    breaker = CircuitBreaker("x", call="y", failures=failures, cooldown_seconds=60)

    async def call(*, fails: bool) -> None:
        with suppress(DependencyUnavailable):
            async with breaker.guard():
                if fails:
                    raise DependencyUnavailable("x")

    for _ in range(3):
        for _ in range(failures - 1):
            await call(fails=True)
        await call(fails=False)
        assert not breaker.is_open
    for _ in range(failures):
        assert not breaker.is_open
        await call(fails=True)
    assert breaker.is_open


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
    await fail(client, reserve, "p")
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
