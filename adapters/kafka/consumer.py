"""Kafka: consuming events. An offset is committed only after its message is handled.

The messages of a lane are handled in order, and lanes in parallel (`partition_tasks`). A partition
with too many unfinished messages is paused; the others continue. Before partitions move to another
member of the group, messages in progress get `REVOKE_SECONDS`; the new member handles the others
again. So handling a message twice must have one effect.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from adapters.background import repeat
from adapters.kafka.decoding import message_consumer, messages
from adapters.kafka.partition_tasks import PartitionTasks
from adapters.kafka.publisher import connection_options
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
MEASURE_SECONDS = 1.0
SESSION_MS = 10_000
FETCH_BYTES = 4 * MAX_EVENT_BYTES


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
        self._topics = list(topics)
        self._intake = intake
        self.joined = asyncio.Event()  # set once partitions (possibly none) are assigned

    async def run(self, stopping: asyncio.Event) -> None:
        """Consumes until `stopping` is set. Reconnects while Kafka is unavailable."""
        down = False
        while not stopping.is_set():
            member = _Member(self._options, self._topics, self._intake, self.joined)
            try:
                await member.run(stopping)
            except (KafkaError, OSError) as error:
                self.joined.clear()
                if not down:
                    logger.warning(
                        "dependency_unavailable",
                        message="Kafka is unavailable",
                        dependency="kafka",
                        reason=repr(error),
                    )
                down = True
                with suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN_SECONDS):
                        await stopping.wait()


class _Member(ConsumerRebalanceListener):
    """One client of the broker: its partitions, and the progress in each."""

    def __init__(
        self,
        options: dict[str, object],
        topics: list[str],
        intake: MessageHandler,
        joined: asyncio.Event,
    ) -> None:
        self._consumer = message_consumer(**options)
        self._consumer.subscribe(topics, listener=self)
        self._intake = intake
        self._joined = joined
        self._tasks: dict[TopicPartition, PartitionTasks] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._measured: set[TopicPartition] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Consumes until `stopping` is set.

        Raises `KafkaError` or `OSError` when Kafka fails and this client cannot continue.
        """
        meanwhile: list[asyncio.Task[None]] = []
        try:
            await self._consumer.start()
            for name, work, seconds in (
                ("commit of offsets", self._commit_all, COMMIT_SECONDS),
                ("lag of partitions", self._measure_all, MEASURE_SECONDS),
            ):
                repeated = repeat(name, work, every_seconds=seconds)
                meanwhile.append(asyncio.create_task(repeated))
            while not stopping.is_set():
                self._throttle()
                batch = await messages(self._consumer, timeout_ms=POLL_MS)
                for partition, received in batch.items():
                    self._handle(partition, received)
                self._raise_failure()
        finally:
            for task in meanwhile:
                task.cancel()
            await asyncio.gather(*meanwhile, return_exceptions=True)
            await self._finish([*self._tasks], DRAIN_SECONDS if stopping.is_set() else 0)
            self._forget_lag([*self._measured])
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._consumer.stop()

    def _handle(self, partition: TopicPartition, received: list[ConsumedMessage]) -> None:
        tasks = self._tasks.setdefault(partition, PartitionTasks())
        for message in [each.bounded() for each in received]:
            tasks.add(
                message.offset,
                self._intake.lane(message),
                lambda message=message: self._intake.take(message),  # type: ignore[misc]
                next_offset=message.next_offset,
            )

    def _throttle(self) -> None:
        """Pauses partitions with too many unfinished messages, and resumes the others."""
        paused = self._consumer.paused()
        for partition, tasks in self._tasks.items():
            if partition not in paused and tasks.unfinished >= MOST_UNFINISHED:
                self._consumer.pause(partition)
            elif partition in paused and tasks.unfinished <= MOST_UNFINISHED // 2:
                self._consumer.resume(partition)

    def _raise_failure(self) -> None:
        """Raises an error of `take`: the process ends, and the next resumes at the last commit."""
        for tasks in self._tasks.values():
            if tasks.failure is not None:
                raise tasks.failure

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
        done = tasks.committable if tasks else None
        if done is None:
            done = await self._consumer.position(partition)
        self._show_lag(partition, max(0, end - done))
        self._measured.add(partition)

    def _forget_lag(self, partitions: Iterable[TopicPartition]) -> None:
        """Sets the lag of revoked partitions to 0; their next consumer records it."""
        for partition in self._measured.intersection(partitions):
            self._measured.remove(partition)
            self._show_lag(partition, 0)

    @staticmethod
    def _show_lag(partition: TopicPartition, lag: int) -> None:
        CONSUMER_LAG.set(lag, {"topic": partition.topic, "partition": str(partition.partition)})

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
