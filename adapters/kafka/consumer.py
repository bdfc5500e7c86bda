"""Kafka: consuming events. An offset is committed only after its message has been dealt with.

The messages of a partition are taken in the order of their lanes (`lanes`), lanes at once.
A partition with too many unfinished messages is paused, the others go on. When partitions go to
another member of the group, what is under way is waited for a little, and what is not done then is
done again there: taking a message twice must have one effect.
"""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from adapters.kafka.lanes import Lanes
from adapters.kafka.publisher import connection_options
from models.incoming import MAX_EVENT_BYTES, Message
from settings import Settings
from telemetry.metrics import CONSUMER_LAG

logger = logging.getLogger(__name__)

MOST_UNFINISHED = 500
"""Messages of one partition; then it is paused until half of them are done. What is fetched at
once is less, so that there are never many more."""
POLL_MS = 200
COMMIT_SECONDS = 0.25
COMMIT_TIMEOUT = 5.0
REVOKE_SECONDS = 3.0  # less than the session, in which the broker must hear of us
DRAIN_SECONDS = 8.0
STOP_SECONDS = 2.0
AGAIN_SECONDS = 1.0
MEASURE_SECONDS = 1.0
SESSION_MS = 10_000
FETCH_BYTES = 4 * MAX_EVENT_BYTES

Record = ConsumerRecord[bytes | None, bytes | None]


class Intake(Protocol):
    """What is done with messages (`workflows.event_handler`)."""

    def lane(self, message: Message) -> str:
        """Messages of one lane are taken in order."""

    async def take(self, message: Message) -> None:
        """Returns when the message is dealt with, however long that takes."""


class EventConsumer:
    """A member of the consumer group, for as long as `run` runs."""

    def __init__(self, settings: Settings, topics: Iterable[str], intake: Intake) -> None:
        self._options = connection_options(settings) | {
            "group_id": settings.kafka_group_id,
            "auto_offset_reset": "earliest",
            "enable_auto_commit": False,
            "session_timeout_ms": SESSION_MS,
            "heartbeat_interval_ms": SESSION_MS // 5,
            "max_partition_fetch_bytes": FETCH_BYTES,
            "max_poll_records": MOST_UNFINISHED // 2,
            "metadata_max_age_ms": 30_000,
        }
        self._topics = list(topics)
        self._intake = intake
        self.joined = asyncio.Event()  # partitions were assigned, perhaps none

    async def run(self, stopping: asyncio.Event) -> None:
        """Consumes until it is told to stop; a broker that is away is waited for."""
        down = False
        while not stopping.is_set():
            member = _Member(self._options, self._topics, self._intake, self.joined)
            try:
                await member.run(stopping)
            except (KafkaError, OSError) as error:
                self.joined.clear()
                if not down:
                    extra = {"event": "dependency_unavailable", "dependency": "kafka"}
                    logger.warning("Kafka is unavailable: %r", error, extra=extra)
                down = True
                with suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN_SECONDS):
                        await stopping.wait()


class _Member(ConsumerRebalanceListener):
    """One client of the broker: what it was assigned, and how far it is."""

    def __init__(
        self,
        options: dict[str, object],
        topics: list[str],
        intake: Intake,
        joined: asyncio.Event,
    ) -> None:
        self._consumer = AIOKafkaConsumer(**options)
        self._consumer.subscribe(topics, listener=self)
        self._intake = intake
        self._joined = joined
        self._lanes: dict[TopicPartition, Lanes] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._measured: set[TopicPartition] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Until told to stop, or Kafka fails in a way that this client cannot get over."""
        meanwhile: list[asyncio.Task[None]] = []
        try:
            await self._consumer.start()
            meanwhile.append(asyncio.create_task(self._keep_committing()))
            meanwhile.append(asyncio.create_task(self._keep_measuring()))
            while not stopping.is_set():
                self._throttle()
                batch = await self._consumer.getmany(timeout_ms=POLL_MS)
                for partition, records in batch.items():
                    self._begin(partition, records)
                self._raise_failure()
        finally:
            for task in meanwhile:
                task.cancel()
            await asyncio.gather(*meanwhile, return_exceptions=True)
            await self._finish([*self._lanes], DRAIN_SECONDS if stopping.is_set() else 0)
            self._forget_lag([*self._measured])
            with suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._consumer.stop()

    def _begin(self, partition: TopicPartition, records: list[Record]) -> None:
        lanes = self._lanes.setdefault(partition, Lanes())
        for record in records:
            message = _message(record)
            lanes.add(
                record.offset,
                self._intake.lane(message),
                lambda message=message: self._intake.take(message),  # type: ignore[misc]
            )

    def _throttle(self) -> None:
        """Pauses partitions that are far ahead of what is done, and lets others go on again."""
        paused = self._consumer.paused()
        for partition, lanes in self._lanes.items():
            if partition not in paused and lanes.unfinished >= MOST_UNFINISHED:
                self._consumer.pause(partition)
            elif partition in paused and lanes.unfinished <= MOST_UNFINISHED // 2:
                self._consumer.resume(partition)

    def _raise_failure(self) -> None:
        """`take` must not fail; if it does, the process ends and begins anew where it was."""
        for lanes in self._lanes.values():
            if lanes.failure is not None:
                raise lanes.failure

    async def _keep_committing(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self._commit([*self._lanes])

    async def _keep_measuring(self) -> None:
        while True:
            with suppress(IllegalStateError, AssertionError):  # taken away while it is asked
                for partition in self._consumer.assignment():
                    await self._measure_lag(partition)
            await asyncio.sleep(MEASURE_SECONDS)

    async def _measure_lag(self, partition: TopicPartition) -> None:
        """How many messages of a partition are not done; what is under way is among them."""
        end = self._consumer.highwater(partition)
        if end is None:  # the first answer is still to come
            return
        lanes = self._lanes.get(partition)
        done = lanes.committable if lanes else None
        if done is None:
            done = await self._consumer.position(partition)
        self._show_lag(partition, max(0, end - done))
        self._measured.add(partition)

    def _forget_lag(self, partitions: Iterable[TopicPartition]) -> None:
        """Whoever has these next will show it."""
        for partition in self._measured.intersection(partitions):
            self._measured.remove(partition)
            self._show_lag(partition, 0)

    @staticmethod
    def _show_lag(partition: TopicPartition, lag: int) -> None:
        CONSUMER_LAG.set(lag, {"topic": partition.topic, "partition": str(partition.partition)})

    async def _commit(self, partitions: Iterable[TopicPartition]) -> None:
        """Commits how far these are; what cannot be committed is done again, and has no effect."""
        offsets = {
            partition: offset
            for partition in partitions
            if partition in self._lanes
            and (offset := self._lanes[partition].committable) is not None
            and offset != self._committed.get(partition)
        }
        if not offsets or not self._is_member():
            return
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT):
                await self._consumer.commit(offsets)
        except CommitFailedError:
            logger.info("The group was rebalanced before a commit; it is read again there")
        except (KafkaError, IllegalStateError, OSError, TimeoutError) as error:
            logger.debug("Offsets were not committed: %r", error)
        else:
            self._committed |= offsets

    def _is_member(self) -> bool:
        """Whether the broker knows us. It takes the commits of a client that names no member, also
        those of positions that we had before the broker lost its data, and would skip as many."""
        coordinator = self._consumer._coordinator  # noqa: SLF001 (nothing public tells)
        return coordinator is not None and bool(coordinator.member_id)

    async def _finish(self, partitions: list[TopicPartition], seconds: float) -> None:
        """Waits for what is under way, commits, and gives up what is not done."""
        lanes = [self._lanes[partition] for partition in partitions if partition in self._lanes]
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(each.drain() for each in lanes))
        await asyncio.gather(*(each.abandon() for each in lanes))
        await self._commit(partitions)
        for partition in partitions:
            self._lanes.pop(partition, None)
            self._committed.pop(partition, None)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Called before a rebalance, while no messages are handed out."""
        partitions = [*revoked]
        await self._finish(partitions, REVOKE_SECONDS)
        self._forget_lag(partitions)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Called after one; messages come from the committed offsets on."""
        names = sorted(f"{one.topic}/{one.partition}" for one in assigned)
        logger.info(
            "Partitions assigned",
            extra={"event": "partitions_assigned", "partitions": names},
        )
        self._joined.set()


def _message(record: Record) -> Message:
    return Message(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple((name, value or b"") for name, value in record.headers),
        timestamp=record.timestamp,
    )
