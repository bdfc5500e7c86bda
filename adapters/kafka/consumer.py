"""Kafka: consuming events. An offset is committed only after its message is handled.

The messages of a lane are handled in order, and lanes in parallel (`partition_tasks`). A partition
with too many unfinished messages is paused; the others continue. Before partitions move to another
member of the group, messages in progress get `REVOKE_SECONDS`; the new member handles the others
again. So handling a message twice must have one effect.

While Kafka is unavailable, the consumer reconnects for as long as that lasts. Any other failure
ends the process, at once or after `REJOIN_SECONDS`, and its supervisor starts another one.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    GroupCoordinatorNotAvailableError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    NoBrokersAvailable,
    NodeNotReadyError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
)

from adapters.background import cancelled, repeat
from adapters.kafka.connection import connection_options
from adapters.kafka.decoding import message_consumer, messages
from adapters.kafka.partition_tasks import PartitionTasks
from adapters.kafka.refused_topics import RefusedTopics
from models.incoming import MAX_EVENT_BYTES, ConsumedMessage
from settings import Settings
from telemetry.metrics import CONSUMER_LAG

logger = structlog.stdlib.get_logger(__name__)

MOST_UNFINISHED = 500
"""Messages of one partition at which it is paused, until half of them are done. One fetch returns
at most half as many, so the limit is exceeded by at most half."""
POLL_MS = 200
COMMIT_SECONDS = 0.25
COMMIT_TIMEOUT = 5.0
REVOKE_SECONDS = 3.0  # shorter than the session
DRAIN_SECONDS = 8.0
STOP_SECONDS = 2.0
AGAIN_SECONDS = 1.0
REJOIN_SECONDS = 60.0
"""How long the consumer may fail again and again while Kafka is available: longer than a broker
takes to elect leaders and a coordinator after a restart."""
MISSING_SECONDS = 5.0
"""How often topics that do not exist are looked for."""
STABLE_SECONDS = 30.0
"""After so long without a failure, the next one is a new one."""
MEASURE_SECONDS = 1.0
SESSION_MS = 10_000
FETCH_BYTES = 4 * MAX_EVENT_BYTES

_UNAVAILABLE = (
    OSError,
    GroupCoordinatorNotAvailableError,
    KafkaConnectionError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    NoBrokersAvailable,
    NodeNotReadyError,
    RequestTimedOutError,
)


class MessageHandler(Protocol):
    """Handles messages (`workflows.event_handler`)."""

    def lane(self, message: ConsumedMessage) -> str:
        """The message's lane. Messages of one lane are handled in order."""

    async def take(self, message: ConsumedMessage) -> None:
        """Returns when the message is handled. Must not raise."""


class EventConsumer:
    """A member of the consumer group while `run` runs."""

    def __init__(self, settings: Settings, topics: Iterable[str], intake: MessageHandler) -> None:
        self._options = connection_options(settings) | {
            "group_id": settings.kafka_group_id,
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
            "session_timeout_ms": SESSION_MS,
            "heartbeat_interval_ms": SESSION_MS // 5,
            "max_partition_fetch_bytes": FETCH_BYTES,
            "max_poll_records": MOST_UNFINISHED // 2,
            "metadata_max_age_ms": 30_000,
        }
        self._settings = settings
        self._topics = [settings.kafka_topic(topic) for topic in topics]
        self._intake = intake
        self.joined = asyncio.Event()  # set once partitions (possibly none) are assigned

    async def run(self, stopping: asyncio.Event) -> None:
        """Consumes until `stopping` is set. Reconnects while Kafka is unavailable.

        Raises the error if another one than an outage recurs for `REJOIN_SECONDS`.
        """
        failures = _Failures()
        while not stopping.is_set():
            member = _Member(
                self._options,
                self._topics,
                self._intake,
                self.joined,
                self._settings.without_prefix,
            )
            failures.begin()
            try:
                await member.run(stopping)
            except (KafkaError, OSError) as error:
                self.joined.clear()
                failures.note(error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN_SECONDS):
                        await stopping.wait()


class _Failures:
    """The failures of the members of one process, one after the other."""

    def __init__(self) -> None:
        self._began = 0.0
        self._first: float | None = None  # of the failures that are no outage
        self._logged: set[str] = set()

    def begin(self) -> None:
        """A new member begins."""
        self._began = time.monotonic()

    def note(self, error: Exception) -> None:
        """Logs each kind of failure once in a row. Raises the error if it has lasted too long."""
        now = time.monotonic()
        if now - self._began >= STABLE_SECONDS:
            self._logged.clear()
            self._first = None
        if isinstance(error, _UNAVAILABLE):
            self._first = None
            self._log("dependency_unavailable", "Kafka is unavailable", error)
            return
        self._first = self._first or now
        if now - self._first >= REJOIN_SECONDS:
            raise error
        self._log("consumer_rejoins", "The consumer failed and joins its group again", error)

    def _log(self, event: str, message: str, error: Exception) -> None:
        kind = type(error).__name__
        if kind not in self._logged:
            self._logged.add(kind)
            logger.warning(event, message=message, dependency="kafka", reason=repr(error))


class _Member(ConsumerRebalanceListener):
    """One client of the broker: its partitions, and the progress in each."""

    def __init__(
        self,
        options: dict[str, object],
        topics: list[str],
        intake: MessageHandler,
        joined: asyncio.Event,
        named: Callable[[str], str],
    ) -> None:
        self._consumer = message_consumer(**options)
        self._named = named  # the name that a topic of Kafka has in the service
        self._intake = intake
        self._joined = joined
        self._tasks: dict[TopicPartition, PartitionTasks] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._measured: set[TopicPartition] = set()
        self._meanwhile: list[asyncio.Task[None]] = []
        self._topics = frozenset(topics)
        self._refused = RefusedTopics()
        self._missing: set[str] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Consumes until `stopping` is set.

        Raises `KafkaError` or `OSError` when Kafka fails and this client cannot continue.
        """
        try:
            await self._consumer.start()
            # Not before: `start` would fail if one of the topics is missing or must not be
            # described. From here on such a topic is looked for again, and the others are read.
            self._consumer.subscribe([*self._topics], listener=self)
            for name, work, seconds in (
                ("commit of offsets", self._commit_all, COMMIT_SECONDS),
                ("lag of partitions", self._measure_all, MEASURE_SECONDS),
                ("missing topics", self._look_for_missing, MISSING_SECONDS),
            ):
                repeated = repeat(name, work, every_seconds=seconds)
                self._meanwhile.append(asyncio.create_task(repeated))
            while not stopping.is_set():
                self._throttle()
                for partition, received in (await self._received()).items():
                    self._handle(partition, received)
                self._raise_failure()
        finally:
            await asyncio.gather(*map(cancelled, self._meanwhile))
            await self._finish([*self._tasks], DRAIN_SECONDS if stopping.is_set() else 0)
            self._forget_lag([*self._measured])
            self._refused.clear()
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._consumer.stop()

    async def _received(self) -> dict[TopicPartition, list[ConsumedMessage]]:
        """The next messages; none after the refusal of a topic, which stops no other topic."""
        try:
            received = await messages(self._consumer, timeout_ms=POLL_MS)
        except TopicAuthorizationFailedError as error:
            topic = str(error.args[0])
            self._leave_alone(topic)
            if len(self._refused) >= len(self._topics):
                raise
            return {}
        for partition in received:
            self._refused.discard(partition.topic)
        return received

    def _leave_alone(self, topic: str) -> None:
        """Pauses the partitions of a topic that must not be read, which `_throttle` resumes."""
        self._refused.add(topic)
        self._consumer.pause(*(one for one in self._consumer.assignment() if one.topic == topic))

    def _handle(self, partition: TopicPartition, received: list[ConsumedMessage]) -> None:
        tasks = self._tasks.setdefault(partition, PartitionTasks())
        topic = self._named(partition.topic)
        for message in [replace(each.bounded(), topic=topic) for each in received]:
            tasks.add(
                message.offset,
                self._intake.lane(message),
                lambda message=message: self._intake.take(message),  # type: ignore[misc]
                next_offset=message.next_offset,
            )

    def _throttle(self) -> None:
        """Pauses partitions with too many unfinished messages, and resumes the others."""
        paused = self._consumer.paused()
        self._consumer.resume(*(one for one in paused if self._refused.is_due(one.topic)))
        self._refused.discard_accepted()
        for partition, tasks in self._tasks.items():
            if partition.topic in self._refused:
                continue
            if partition not in paused and tasks.unfinished >= MOST_UNFINISHED:
                self._consumer.pause(partition)
            elif partition in paused and tasks.unfinished <= MOST_UNFINISHED // 2:
                self._consumer.resume(partition)

    def _raise_failure(self) -> None:
        """Raises an error of `take`, or of a task without which this member does nothing.

        After an error of `take` the process ends, and the next resumes at the last commit.
        """
        for tasks in self._tasks.values():
            if tasks.failure is not None:
                raise tasks.failure
        # aiokafka does not watch the task that fetches: without it, `getmany` returns nothing.
        fetcher: Any = self._consumer._fetcher  # noqa: SLF001
        fetching: asyncio.Task[None] = fetcher.error_future
        for task in (fetching, *self._meanwhile):
            if task.done():
                error = None if task.cancelled() else task.exception()
                raise error or KafkaError("a task of the consumer has ended")

    async def _commit_all(self) -> None:
        await self._commit([*self._tasks])

    async def _measure_all(self) -> None:
        with suppress(IllegalStateError, AssertionError):  # a partition was revoked meanwhile
            for partition in self._consumer.assignment():
                await self._measure_lag(partition)

    async def _measure_lag(self, partition: TopicPartition) -> None:
        """Records the number of messages of a partition that are not done."""
        end = self._consumer.highwater(partition)
        if end is None:  # nothing was fetched yet
            return
        tasks = self._tasks.get(partition)
        done = tasks.committable if tasks and tasks.unfinished else None
        if done is None:  # the position is also behind entries that are no messages
            done = await self._consumer.position(partition)
        CONSUMER_LAG.set(max(0, end - done), self._attributes(partition))
        self._measured.add(partition)

    def _forget_lag(self, partitions: Iterable[TopicPartition]) -> None:
        """Ends the samples of partitions whose lag is not known here any more.

        A lag of 0 would say that all is handled, while nothing is, and keep alerts silent.
        """
        for partition in self._measured.intersection(partitions):
            self._measured.remove(partition)
            CONSUMER_LAG.forget(self._attributes(partition))

    async def _commit(self, partitions: Iterable[TopicPartition]) -> None:
        """Commits the progress of these partitions.

        Logs a failure: messages beyond the last commit are handled again, without effect.
        """
        offsets = {
            partition: offset
            for partition in partitions
            if partition in self._tasks
            and (offset := self._tasks[partition].committable) is not None
            and offset != self._committed.get(partition)
        }
        if not offsets or not self._is_member():
            return
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT):
                await self._consumer.commit(offsets)
        except CommitFailedError:
            logger.info(
                "offsets_lost_to_rebalance",
                message="The group was rebalanced before a commit; the messages are read again",
            )
        except (KafkaError, IllegalStateError, OSError, TimeoutError) as error:
            logger.debug(
                "offsets_uncommitted", message="Could not commit offsets", reason=repr(error)
            )
        else:
            self._committed |= offsets

    def _is_member(self) -> bool:
        """Whether this client is a member of the group.

        The broker also accepts commits without a member id. After it has lost its data, such a
        commit of earlier positions would skip new messages.
        """
        coordinator = self._consumer._coordinator  # noqa: SLF001 (there is no public attribute)
        return coordinator is not None and bool(coordinator.member_id)

    async def _finish(self, partitions: list[TopicPartition], seconds: float) -> None:
        """Waits for unfinished messages for a time, abandons the rest, and commits."""
        running = [self._tasks[partition] for partition in partitions if partition in self._tasks]
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(each.drain() for each in running))
        await asyncio.gather(*(each.abandon() for each in running))
        await self._commit(partitions)
        for partition in partitions:
            self._tasks.pop(partition, None)
            self._committed.pop(partition, None)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Called by aiokafka before a rebalance; no messages are fetched meanwhile."""
        partitions = [*revoked]
        await self._finish(partitions, REVOKE_SECONDS)
        self._forget_lag(partitions)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Called by aiokafka after a rebalance; fetching starts at the committed offsets."""
        names = sorted(f"{one.topic}/{one.partition}" for one in assigned)
        logger.info("partitions_assigned", message="Partitions assigned", partitions=names)
        self._joined.set()

    async def _look_for_missing(self) -> None:
        """Asks again for topics without partitions. Logs once each that cannot be read."""
        if self._without_partitions():  # by itself, the client asks every 30 s
            client = self._consumer._client  # noqa: SLF001 (there is no public attribute)
            await client.force_metadata_update()
        missing = self._without_partitions()
        for topic in sorted(missing - self._missing):
            logger.warning(
                "topic_missing",
                message=f"Topic {topic} does not exist, or this client may not describe it; "
                "other topics go on. Run `cart setup`, or grant it (docs/deploy.md)",
                topic=topic,
            )
        self._missing = missing

    def _without_partitions(self) -> set[str]:
        return {one for one in self._topics if not self._consumer.partitions_for_topic(one)}

    def _attributes(self, partition: TopicPartition) -> dict[str, str]:
        return {"topic": self._named(partition.topic), "partition": str(partition.partition)}
