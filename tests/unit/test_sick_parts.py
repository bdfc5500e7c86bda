"""What a process knows and says of systems that are sick in part: logs, reports and gauges."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo.errors import DuplicateKeyError, OperationFailure
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from structlog.testing import capture_logs

from adapters import breaker, outage_log, setup_gauges
from adapters.breaker import CircuitBreaker
from adapters.mongo.client import bounded
from adapters.mongo.gauges import show_pending
from adapters.mongo.outbox import Outbox, Waiting
from adapters.mongo.reports import calls_of
from adapters.outage_log import REPEATED_AFTER_SECONDS, STEADY_SECONDS, OutageLog
from adapters.redis.pool import RedisPool
from models.effects import EffectKind
from models.errors import DependencyRefuses, DependencyUnavailable
from models.events import CART_CLEARED, CART_ITEM_ADDED, TOPICS
from settings import Settings
from telemetry import call_times
from telemetry.call_times import CALL_TIMES, CallTimes
from tests.support.metrics import numbers_here

NOWHERE = SecretStr("redis://127.0.0.1:1/0")
CALLS = "cart_dependency_call_duration_milliseconds_count"


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (breaker, outage_log, call_times):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def events(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines]


# The log


def test_an_outage_that_comes_and_goes_every_second_is_one_outage(
    clock: Clock, lines: list[Any]
) -> None:
    log = OutageLog("redis", "command")
    for _ in range(100):
        log.down("no answer")
        clock.now += 0.7
        log.works()
        clock.now += 0.7
    assert events(lines) == ["dependency_unavailable"]
    log.works()
    clock.now += STEADY_SECONDS
    log.works()
    log.works()
    assert events(lines) == ["dependency_unavailable", "dependency_available"]
    log.down("no answer")
    assert events(lines)[2:] == ["dependency_unavailable"]


def test_a_product_that_fails_again_and_again_is_one_line_a_minute(
    clock: Clock, lines: list[Any]
) -> None:
    log = OutageLog("inventory", "reserve")
    for _ in range(100):
        log.fails_for("shop/lamp", "answered 500")
        log.refuses("OOM")
    log.fails_for("shop/desk", "answered 500")
    assert [line.get("subject") for line in lines] == ["shop/lamp", None, "shop/desk"]
    clock.now += REPEATED_AFTER_SECONDS
    log.fails_for("shop/lamp", "answered 500")
    assert len(lines) == 4
    assert lines[-1] == {
        "event": "dependency_fails_for_one",
        "message": "Dependency keeps failing for one subject",
        "log_level": "warning",
        "dependency": "inventory",
        "call": "reserve",
        "subject": "shop/lamp",
        "reason": "answered 500",
    }


def test_many_products_that_fail_are_a_bounded_number_of_lines(
    clock: Clock, lines: list[Any]
) -> None:
    log = OutageLog("inventory", "reserve")
    for number in range(1000):
        log.fails_for(f"shop/{number}", "answered 500")
    assert len(lines) == outage_log.MOST_LINES


# Circuit breakers


async def attempt(guarded: CircuitBreaker, subject: str | None, error: Exception | None) -> None:
    with suppress(DependencyUnavailable):
        async with guarded.guard(subject):
            if error:
                raise error


async def test_a_breaker_names_what_keeps_failing_until_it_works_or_is_not_called(
    clock: Clock,
) -> None:
    guarded = CircuitBreaker("i", call="reserve", failures=3, cooldown_seconds=0.5, window=20)
    down = DependencyUnavailable("i", "answered 500")
    for _ in range(3):
        for subject, error in (("lamp", down), ("desk", None), ("sofa", None), ("bed", down)):
            await attempt(guarded, subject, error)
        clock.now += 1
    await attempt(guarded, "bed", None)
    [failing] = guarded.failing()
    assert failing.model_dump() == {
        "subject": "lamp",
        "reason": "answered 500",
        "failures": 3,
        "for_seconds": 3.0,
    }
    assert guarded.reason is None
    clock.now += breaker.FORGOTTEN_SECONDS
    assert guarded.failing() == []


async def test_a_system_that_refuses_keeps_its_circuit_closed(lines: list[Any]) -> None:
    guarded = CircuitBreaker("redis", call="refuses", failures=2, cooldown_seconds=60)
    numbers_here()
    for _ in range(5):
        await attempt(guarded, None, DependencyRefuses("redis", "OOM"))
    assert not guarded.is_open
    assert events(lines) == ["dependency_refuses"]
    counted = numbers_here().by("outcome", CALLS, call="refuses")
    assert counted == {"refused": 5}


# Redis and MongoDB that answer and refuse


@pytest.mark.parametrize("error", [OutOfMemoryError("full"), ReadOnlyError("a replica")])
async def test_an_error_that_redis_answers_is_a_refusal(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = RedisPool(NOWHERE)
    closed = []

    async def disconnect(**_: Any) -> None:
        closed.append(True)

    monkeypatch.setattr(pool._redis.connection_pool, "disconnect", disconnect)
    with pytest.raises(DependencyRefuses, match=str(error)):
        async with pool.client("cart"):
            raise error
    # A demoted primary behind a fixed address: the next call connects to the new one.
    assert bool(closed) == isinstance(error, ReadOnlyError)


async def test_what_mongodb_refuses_is_no_outage_and_a_duplicate_is_an_answer(
    lines: list[Any],
) -> None:
    before = numbers_here()
    details = {"errmsg": "No space left on device"}
    with pytest.raises(DependencyRefuses, match=r"No space left on device \(code 14031\)"):
        async with bounded(1):
            raise OperationFailure("a long dump", 14031, details)
    with pytest.raises(DuplicateKeyError):
        async with bounded(1):
            raise DuplicateKeyError("E11000")
    counted = numbers_here().since(before).by("outcome", CALLS, dependency="mongodb")
    assert counted == {"refused": 1, "ok": 1}
    [line] = lines
    assert (line["event"], line["reason"]) == (
        "dependency_refuses",
        "No space left on device (code 14031)",
    )


async def test_a_long_refusal_keeps_its_beginning_and_its_end(lines: list[Any]) -> None:
    words = f"error processing query: {'$in ' * 500} hint provided does not correspond to an index"
    with pytest.raises(DependencyRefuses) as raised:
        async with bounded(1):
            raise OperationFailure("a long dump", 2, {"errmsg": words})
    assert len(raised.value.detail) < 300
    assert raised.value.detail.startswith("error processing query")
    assert raised.value.detail.endswith("does not correspond to an index (code 2)")


# How long calls take


def test_a_call_is_slow_beside_the_hour_before(clock: Clock) -> None:
    clock.now = 6000.0
    times = CallTimes()
    assert (times.now(), times.usual()) == (None, None)
    for minute in range(70):
        times.add(0.010)
        times.add(0.030)
        if minute == 10:
            times.add(60)  # one outlier changes nothing
        clock.now += 60
    for _ in range(2):
        times.add(1.5)
        clock.now += 60
    clock.now -= 60 - 10
    assert times.now() == 1.5
    assert times.usual() == pytest.approx(0.020)
    clock.now += 3 * 3600
    assert (times.now(), times.usual()) == (None, None)


def test_a_call_that_is_slow_for_long_does_not_become_what_is_usual(clock: Clock) -> None:
    """Also soon after the start: then most of what is known is slow."""
    clock.now = 6000.0
    times = CallTimes()

    def for_minutes(minutes: int, seconds: float) -> None:
        for _ in range(minutes * 6):
            times.add(seconds)
            clock.now += 10

    for_minutes(2, 0.012)
    for_minutes(50, 0.412)
    now, usual = times.now(), times.usual()
    assert now == pytest.approx(0.412)
    assert usual == pytest.approx(0.012)
    assert call_times.is_slow(now or 0, usual)
    for_minutes(70, 0.412)  # an hour later it is what is usual
    assert times.usual() == pytest.approx(0.412)


def test_a_call_is_slow_within_half_a_minute_of_a_new_process(clock: Clock) -> None:
    times = CallTimes()
    for seconds in (0.012, 0.012, 0.012, 0.012, 0.412, 0.412, 0.412):
        times.add(seconds)
        clock.now += 10
    assert call_times.is_slow(times.now() or 0, times.usual())


def test_a_report_has_each_kind_of_call_and_names_a_bounded_number_of_subjects(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = CallTimes()
    times.add(0.5)
    guarded = CircuitBreaker("i", call="reserve", failures=1, cooldown_seconds=60, window=5000)

    async def fail_for_many() -> None:
        await attempt(guarded, "well", None)
        for number in range(500):
            await attempt(guarded, f"well-{number}", None)
            await attempt(guarded, f"well-again-{number}", None)
            await attempt(guarded, f"sick-{number}", DependencyUnavailable("i", "500"))

    asyncio.run(fail_for_many())
    monkeypatch.setitem(CALL_TIMES, ("i", "reserve"), times)
    [call] = [one for one in calls_of([guarded]) if one.dependency == "i"]
    assert (call.now_seconds, call.usual_seconds, call.down) == (0.5, None, None)
    assert (call.failing_subjects, len(call.failing)) == (500, 20)


async def test_a_report_has_the_refusal_of_the_last_minute(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = CircuitBreaker("r", call="command", failures=1, cooldown_seconds=60)

    def refused() -> str | None:
        [call] = [one for one in calls_of([guarded]) if one.dependency == "r"]
        return call.refused

    await attempt(guarded, None, None)
    assert refused() is None
    await attempt(guarded, None, DependencyRefuses("r", "OOM"))
    assert refused() == "OOM"
    clock.now += REPEATED_AFTER_SECONDS
    assert refused() is None


# Gauges whose value is not known


class AbsentOutbox(Outbox):
    def __init__(self) -> None:
        self.away = False

    async def waiting(self, kind: EffectKind, *, shard: int = 0, shards: int = 1) -> Waiting:
        if self.away:
            raise DependencyUnavailable("mongodb")
        return Waiting(kind, shard, 0, None, None)


async def test_pending_effects_that_are_not_known_have_no_sample() -> None:
    outbox, name = AbsentOutbox(), ("cart_outbox_pending", (("kind", "event"),))
    numbers_here()
    await show_pending(outbox)
    assert numbers_here().values[name] == 0
    outbox.away = True
    with pytest.raises(DependencyUnavailable):
        await show_pending(outbox)
    assert name not in numbers_here().values


@pytest.fixture
async def topics(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, list[int]]]:
    """Kafka's topics and their partitions without a leader; without topics, it does not answer."""
    topics: dict[str, list[int]] = {topic: [] for topic in TOPICS}

    async def leaderless(*_: Any) -> dict[str, list[int]]:
        if not topics:
            raise DependencyUnavailable("kafka")
        return topics

    monkeypatch.setattr(setup_gauges, "leaderless_partitions", leaderless)
    yield topics
    topics.clear()
    with suppress(DependencyUnavailable):
        await setup_gauges.show_topics(Settings())


async def test_topics_that_are_missing_or_without_a_leader_are_shown(
    topics: dict[str, list[int]],
) -> None:
    settings = Settings()
    numbers_here()
    await setup_gauges.show_topics(settings)
    assert numbers_here()("cart_setup_missing", kind="topic") == 0
    del topics[CART_CLEARED]
    topics[CART_ITEM_ADDED] = [0, 2]
    await setup_gauges.show_topics(settings)
    now = numbers_here()
    assert now("cart_setup_missing", kind="topic") == 1
    assert now.by("topic", "cart_event_topic_leaderless") == {CART_ITEM_ADDED: 2}
    topics.clear()
    with pytest.raises(DependencyUnavailable):
        await setup_gauges.show_topics(settings)
    assert not numbers_here().names & {"cart_setup_missing", "cart_event_topic_leaderless"}
