"""The consumer's reaction to failures: an outage is waited out, anything else ends the process."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnsupportedCodecError,
)
from structlog.testing import capture_logs

import process
from adapters.kafka import consumer as event_consumer
from adapters.kafka import refused_topics
from adapters.kafka.consumer import EventConsumer, _Member
from adapters.kafka.refused_topics import RefusedTopics
from settings import Settings
from telemetry.metrics import CONSUMER_LAG
from tests.fakes.api import settings_for_tests
from tests.support.metrics import numbers_here

LAG = "cart_event_consume_lag"


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_consumer, "AGAIN_SECONDS", 0.001)
    monkeypatch.setattr(event_consumer, "REJOIN_SECONDS", 0.05)


def failing(
    monkeypatch: pytest.MonkeyPatch, *errors: Exception, stop_after: int = 0
) -> tuple[EventConsumer, asyncio.Event]:
    """A consumer whose members fail with these errors in turn, and the event that stops it."""
    stopping, count = asyncio.Event(), 0

    async def run(_: _Member, stopping: asyncio.Event) -> None:
        nonlocal count
        count += 1
        if count == stop_after:
            stopping.set()
        raise errors[count % len(errors)]

    monkeypatch.setattr(_Member, "__init__", lambda *_: None)
    monkeypatch.setattr(_Member, "run", run)
    intake: Any = None
    return EventConsumer(settings_for_tests(), ["topic"], intake), stopping


@pytest.mark.parametrize("error", [GroupAuthorizationFailedError(), UnsupportedCodecError()])
async def test_a_failure_that_is_no_outage_ends_the_consumer_after_a_time(
    monkeypatch: pytest.MonkeyPatch, error: KafkaError
) -> None:
    consumer, stopping = failing(monkeypatch, error)
    with capture_logs() as logs, pytest.raises(type(error)):
        await consumer.run(stopping)
    assert [line["event"] for line in logs] == ["consumer_rejoins"]
    assert "unavailable" not in logs[0]["message"]


async def test_an_outage_is_waited_out_and_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_consumer, "REJOIN_SECONDS", 0.0)
    consumer, stopping = failing(monkeypatch, KafkaConnectionError(), stop_after=100)
    with capture_logs() as logs:
        await consumer.run(stopping)
    assert [line["message"] for line in logs] == ["Kafka is unavailable"]


async def test_a_failure_that_alternates_with_an_outage_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a broker restarts, it also answers with other errors."""
    consumer, stopping = failing(
        monkeypatch, KafkaConnectionError(), KafkaError("odd"), stop_after=100
    )
    await consumer.run(stopping)


class FakeConsumer:
    """The partitions of a consumer."""

    def __init__(self, partitions: list[TopicPartition]) -> None:
        self._partitions = partitions
        self._paused: set[TopicPartition] = set()
        self.resumed: set[TopicPartition] = set()

    def assignment(self) -> list[TopicPartition]:
        return self._partitions

    def paused(self) -> set[TopicPartition]:
        return set(self._paused)

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused |= {*partitions}

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused -= {*partitions}
        self.resumed |= {*partitions}


@pytest.mark.parametrize("refused", [{"a"}, {"a", "b"}])
async def test_a_topic_that_must_not_be_read_stops_no_other_topic(
    monkeypatch: pytest.MonkeyPatch, refused: set[str]
) -> None:
    answers: list[Any] = [TopicAuthorizationFailedError(topic) for topic in sorted(refused)] * 3
    answers.append({TopicPartition("b", 0): ["a message"]})

    async def next_answer(*_: Any, **__: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(event_consumer, "messages", next_answer)
    monkeypatch.setattr(refused_topics, "REFUSED_SECONDS", 0.0)
    fake = FakeConsumer([TopicPartition(topic, 0) for topic in "ab"])
    member: Any = object.__new__(_Member)
    member._consumer, member._tasks = fake, {}
    member._topics, member._refused = frozenset("ab"), RefusedTopics()
    received: dict[TopicPartition, Any] = {}
    with capture_logs() as logs:
        try:
            while not received:
                member._throttle()
                received = await member._received()
                assert {one.topic for one in fake.paused()} <= refused
        except TopicAuthorizationFailedError:
            assert refused == {"a", "b"}
        else:
            assert list(received) == [TopicPartition("b", 0)]
            assert fake.resumed == {TopicPartition("a", 0)}
    assert [line["topic"] for line in logs] == sorted(refused)


async def test_a_lag_that_is_not_known_has_no_sample() -> None:
    attributes = {"topic": "order.completed", "partition": "7"}
    known = {("topic", "order.completed"), ("partition", "7")}

    def samples() -> list[float]:
        return [
            value
            for (name, labels), value in numbers_here().values.items()
            if name == LAG and known <= set(labels)
        ]

    CONSUMER_LAG.set(3, attributes)
    assert samples() == [3]
    member = object.__new__(_Member)
    member._named = str
    member._measured = {TopicPartition("order.completed", 7)}
    member._forget_lag([TopicPartition("order.completed", 7)])
    assert samples() == []


Run = Callable[[Settings], Coroutine[Any, Any, None]]


@pytest.mark.parametrize("name", ["worker", "consumer"])
def test_a_process_that_fails_logs_the_error_and_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, name: Literal["worker", "consumer"]
) -> None:
    for step in ("configure_logging", "start_metrics", "serve_metrics"):
        monkeypatch.setattr(process, step, lambda *_: None)
    monkeypatch.setattr(process, "load_settings", settings_for_tests)

    async def fails(_: Settings) -> None:
        raise KafkaError("a bug")

    with capture_logs() as logs:
        assert process.run_process(name, fails) == 1
    [line] = logs
    assert (line["event"], line["log_level"]) == ("process_failed", "error")


async def test_a_task_that_has_ended_is_a_failure() -> None:
    """Without the task that fetches, `getmany` of aiokafka returns nothing, for ever."""

    async def fails() -> None:
        raise KafkaError("unexpected")

    async def waits() -> None:
        await asyncio.Event().wait()

    for work in (fails, waits):
        fetching = asyncio.create_task(work())
        member: Any = object.__new__(_Member)
        member._tasks, member._meanwhile = {}, []
        member._consumer = SimpleNamespace(_fetcher=SimpleNamespace(error_future=fetching))
        member._raise_failure()
        if work is waits:
            fetching.cancel()
        await asyncio.wait([fetching])
        with pytest.raises(KafkaError):
            member._raise_failure()
