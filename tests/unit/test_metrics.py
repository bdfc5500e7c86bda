"""Metrics: the document lists them all, and each event is counted once."""

import socket
from asyncio import CancelledError
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from adapters.breaker import CircuitBreaker
from adapters.calls import measured_call
from adapters.mongo.gauges import show_pending
from adapters.mongo.outbox import Outbox, Waiting
from adapters.redis.pool import RedisPool
from adapters.redis.rate_limits import RateLimiter
from api.limits import RateLimits
from dev.stack.ports import free_ports
from models.effects import EffectKind
from models.errors import DependencyTimeout, DependencyUnavailable, OperationInProgress
from models.outcomes import OperationResult, Outcome, Refusal
from settings import LOCALHOST
from telemetry.exposition import serve_metrics
from telemetry.metrics import CATALOG, Metric
from telemetry.operations import lock_acquisition, measured
from tests.fakes.api import STORE, USER, FakeApi, cart_of, settings_for_tests
from tests.support.metrics import Numbers, numbers_here

# The allowed attributes; each has few values.
ATTRIBUTES = {
    "cache",
    "call",
    "currency",
    "dependency",
    "error",
    "error.type",
    "event",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "kind",
    "limit",
    "network.protocol.version",
    "operation",
    "outcome",
    "partition",
    "reason",
    "topic",
    "url.scheme",
    "use",
}
ENDED = "cart_operation_count_total"
ERRORS = "cart_operation_errors_total"
CALLS = "cart_dependency_call_duration_milliseconds_count"
CIRCUIT = "cart_dependency_circuit_open"


def row(metric: Metric) -> str:
    """The line of a metric in the table."""
    attributes = ", ".join(f"`{name}`" for name in metric.attributes) or "-"
    cells = (
        f"`{metric.name}`",
        f"`{metric.shown_as}`",
        metric.kind,
        metric.unit.strip("{}"),
        attributes,
        ", ".join(metric.shown_by),
        metric.meaning,
    )
    return f"| {' | '.join(cells)} |"


def test_the_document_has_a_line_for_each_metric(project_root: Path) -> None:
    lines = (project_root / "docs/metrics.md").read_text().splitlines()
    assert [line for line in map(row, CATALOG.values()) if line not in lines] == []
    names = {f"`{name}`" for name in CATALOG}
    found = {
        line.split("|")[1].strip() for line in lines if line.startswith(("| `cart.", "| `http."))
    }
    assert found == names


def test_attributes_have_few_values_and_are_never_ids() -> None:
    assert {name for metric in CATALOG.values() for name in metric.attributes} == ATTRIBUTES


class Since:
    """The increase of this process's metrics from now on."""

    def __init__(self) -> None:
        self._before = numbers_here()

    def __call__(self) -> Numbers:
        return numbers_here().since(self._before)


@pytest.fixture
def since() -> Since:
    return Since()


def result(outcome: Outcome, **more: object) -> OperationResult:
    names = {"operation": "AddItem", "operation_id": "o", "record_id": "r", "saga_id": "s"}
    return OperationResult.model_validate(names | {"outcome": outcome} | more)


@pytest.mark.parametrize(
    ("end", "outcome", "error"),
    [
        (result(Outcome.COMMITTED), "committed", None),
        (result(Outcome.REPLAYED), "replayed", None),
        (result(Outcome.UNCHANGED), "unchanged", None),
        (None, "pending", None),
        (
            result(Outcome.REJECTED, refusal=Refusal(code="line_limit")),
            "rejected",
            "line_limit",
        ),
        (result(Outcome.ABORTED, reason="deadline"), "aborted", "deadline"),
    ],
)
def test_an_operation_is_counted_by_its_end(
    since: Since, end: OperationResult | None, outcome: str, error: str | None
) -> None:
    with measured("AddItem") as measure:
        measure.ended_with(end)
    now = since()
    assert now.by("outcome", ENDED, operation="AddItem") == {outcome: 1}
    assert now("cart_operation_duration_milliseconds_count", outcome=outcome) == 1
    assert now.by("error", ERRORS, operation="AddItem") == ({error: 1} if error else {})


@pytest.mark.parametrize(
    ("raised", "outcome", "error"),
    [
        (OperationInProgress("busy"), "busy", "busy"),
        (DependencyUnavailable("temporal"), "unavailable", "temporal_unavailable"),
        (LookupError(), "failed", "unexpected"),
    ],
)
def test_a_failed_operation_is_counted_by_its_error(
    since: Since, raised: Exception, outcome: str, error: str
) -> None:
    with pytest.raises(type(raised)), measured("AddItem"):
        raise raised
    now = since()
    assert now.by("outcome", ENDED) == {outcome: 1}
    assert now.by("error", ERRORS) == {error: 1}


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (OperationInProgress("busy"), "busy"),
        (DependencyUnavailable("temporal"), "temporal_unavailable"),
    ],
)
def test_a_failed_lock_of_a_cart_is_counted(since: Since, raised: Exception, error: str) -> None:
    with lock_acquisition():
        pass
    with pytest.raises(type(raised)), lock_acquisition():
        raise raised
    now = since()
    assert now("cart_lock_acquisition_success_total") == 1
    assert now.by("error", "cart_lock_acquisition_failure_total") == {error: 1}


def test_calls_are_measured_by_their_outcome(since: Since) -> None:
    ends = (
        None,
        DependencyTimeout("x"),
        DependencyUnavailable("x"),
        ValueError(),
        CancelledError(),
    )
    for end in ends:
        with (
            suppress(DependencyUnavailable, ValueError, CancelledError),
            measured_call("x", "y"),
        ):
            if end is not None:
                raise end
    expected = {"ok": 1, "timeout": 1, "unavailable": 1, "refused": 1, "cancelled": 1}
    assert since().by("outcome", CALLS, dependency="x", call="y") == expected


async def test_an_open_circuit_is_shown_until_a_call_succeeds(since: Since) -> None:
    breaker = CircuitBreaker("x", call="z", failures=1, cooldown_seconds=60)
    assert numbers_here()(CIRCUIT, dependency="x", call="z") == 0
    with suppress(DependencyUnavailable):
        async with breaker.guard():
            raise DependencyUnavailable("x")
    with suppress(DependencyUnavailable):
        async with breaker.guard():
            raise AssertionError("the circuit is open")
    assert numbers_here()(CIRCUIT, dependency="x", call="z") == 1
    async with breaker.guard(bypass_breaker=True):
        pass
    assert numbers_here()(CIRCUIT, dependency="x", call="z") == 0
    # A call that the circuit refused is not counted.
    assert since().by("outcome", CALLS, call="z") == {"unavailable": 1, "ok": 1}


async def test_requests_that_are_limited_without_redis_are_counted(since: Since) -> None:
    redis = RedisPool(SecretStr(f"redis://127.0.0.1:{free_ports()['REDIS_PORT']}/0"))
    limits = RateLimits(RateLimiter(redis), per_user=3, per_address=0, guests_per_address=0)
    for _ in range(3):
        assert await limits.of_user("user-1", 1)
    await redis.close()
    assert since().by("use", "cart_redis_away_total") == {"rate_limit": 3}


class OutboxWith(Outbox):
    """An outbox with so many records with pending events, the oldest since a time."""

    def __init__(self, records: int = 0, oldest: datetime | None = None) -> None:
        self._events = (records, oldest)

    async def waiting(self, kind: EffectKind, *, shard: int = 0, shards: int = 1) -> Waiting:
        records, oldest = self._events if kind is EffectKind.EVENT else (0, None)
        return Waiting(kind, shard, records, oldest, oldest)


async def test_pending_effects_are_shown_with_the_age_of_the_oldest() -> None:
    numbers_here()
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    await show_pending(OutboxWith(5, an_hour_ago))
    now = numbers_here()
    assert now.by("kind", "cart_outbox_pending") == {"event": 5}
    assert now("cart_outbox_oldest_age_seconds", kind="event") >= 3600
    assert now("cart_outbox_oldest_age_seconds", kind="release") == 0

    await show_pending(OutboxWith())
    now = numbers_here()
    assert now("cart_outbox_pending") == now("cart_outbox_oldest_age_seconds") == 0


async def test_reads_are_hits_or_misses(since: Since) -> None:
    api = FakeApi()
    api.mongo.carts[STORE, USER] = cart_of()
    for _ in range(3):
        await api.get()
    now = since()
    assert now.by("cache", "cart_cache_miss_total") == {"cart": 1}
    assert now.by("cache", "cart_cache_hit_total") == {"cart": 2}


async def test_the_metrics_page_is_not_part_of_the_public_api() -> None:
    api = FakeApi()
    page = await api.client.get("/metrics")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/plain")
    document = (await api.client.get("/openapi.json")).json()
    assert "/metrics" not in document["paths"]


async def test_without_metrics_there_is_no_page() -> None:
    api = FakeApi(settings_for_tests(enable_metrics=False))
    assert (await api.client.get("/metrics")).status_code == 404


def test_a_taken_metrics_port_is_logged_and_the_process_continues(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server((LOCALHOST, 0)) as taken:
        port = taken.getsockname()[1]
        serve_metrics("worker", settings_for_tests(worker_metrics_port=port))
    assert f"Could not serve metrics on port {port}" in caplog.text
