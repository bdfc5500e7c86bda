"""The vocabulary of partial faults: which calls of a system are sick, how, and for which part.

`applied` makes a part of a system sick, wherever its calls come from. What a fault does not name
stays well.

Left out is what no client can tell from the truth: an inventory that says "released" and has not
released. The watch over holds finds that (docs/upkeep.md).
"""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx

from models.events import CART_CLEARED, CART_ITEM_OUT_OF_STOCK, PUBLISHED
from models.incoming import CONSUMED
from tests.faults.partial import kafka
from tests.faults.partial.kafka import partition_mark
from tests.faults.partial.mongodb import MongoError
from tests.faults.partial.rules import Rule
from tests.faults.rig import FaultRig
from tests.support.raw_batches import LATIN_1, BatchRefusedError, RawRecord, batch, produce
from tests.support.waiting import eventually

_TIMES = 10_000
_HEAL_SECONDS = 30.0


class System(StrEnum):
    """The systems, and what is sick in each."""

    INVENTORY = "inventory"  # a product, or a store
    MONGODB = "mongodb"  # a cart
    REDIS = "redis"  # a cart
    KAFKA = "kafka"  # a partition of a topic
    MESSAGES = "messages"  # one message


@dataclass(frozen=True)
class SickPart:
    """The part of each system that is sick. Without a product, it is the whole store."""

    store_id: str
    user_id: str
    product_id: str | None = None
    partition: int = 0


@dataclass(frozen=True)
class PartialFault:
    """A fault of some calls of a system: an answer, or a delay in seconds.

    With `topic` all partitions of a topic are sick.
    """

    system: System
    name: str
    calls: tuple[str, ...] = ()
    error: Any = None
    seconds: float = 0.0
    inventory: Mapping[str, Any] = field(default_factory=dict)
    topic: str | None = None

    def __str__(self) -> str:
        return f"{self.system}: {self.name}"


def _inventory(call: str, kind: str, **fault: Any) -> PartialFault:
    shown = " ".join(map(str, (call, kind, *fault.values())))
    return PartialFault(
        System.INVENTORY, shown, (call,), inventory={"action": call, "fault": kind, **fault}
    )


def _answers(call: str, *statuses: int) -> tuple[PartialFault, ...]:
    return tuple(_inventory(call, "answer", status=status) for status in statuses)


_NOT_IN_TIME = 3.0
_LATE = 0.4
_FOREVER = 60.0

INVENTORY = (
    *_answers("reserve", 302, 400, 401, 404, 409, 410, 418, 422, 429, 500, 502, 503),
    _inventory("reserve", "answer", body="success_false"),
    _inventory("reserve", "answer", body="html", effect=True),
    _inventory("reserve", "answer", body="empty", effect=True),
    _inventory("reserve", "answer", body="huge", effect=True),
    _inventory("reserve", "answer", status=500, body="html", effect=True),
    _inventory("reserve", "refuse"),
    _inventory("reserve", "duplicate"),
    _inventory("reserve", "delay", seconds=_LATE),
    _inventory("reserve", "delay", seconds=_NOT_IN_TIME),
    _inventory("reserve", "commit_then_timeout", seconds=_NOT_IN_TIME),
    _inventory("reserve", "trickle", seconds=0.2),
    *_answers("release", 302, 400, 401, 409, 422, 429, 500, 502, 503),
    _inventory("release", "answer", body="html", effect=True),
    _inventory("release", "answer", status=404, effect=True),
    _inventory("release", "answer", status=204, effect=True),
    _inventory("release", "answer", status=500, body="empty", effect=True),
    _inventory("release", "duplicate"),
    _inventory("release", "delay", seconds=_LATE),
    _inventory("release", "delay", seconds=_NOT_IN_TIME),
    _inventory("release", "commit_then_timeout", seconds=_NOT_IN_TIME),
    _inventory("release", "trickle", seconds=0.2),
    *_answers("check", 404, 500),
    _inventory("check", "answer", body="html"),
    _inventory("check", "answer", body="no_available"),
    _inventory("check", "answer", body="huge"),
    _inventory("check", "delay", seconds=_NOT_IN_TIME),
    _inventory("check", "trickle", seconds=0.2),
)

PRODUCTS = (
    *_answers("product", 200, 302, 401, 403, 404, 429, 500, 503),
    _inventory("product", "answer", body="html"),
    _inventory("product", "answer", body="empty"),
    _inventory("product", "answer", body="huge"),
    _inventory("product", "delay", seconds=_LATE),
    _inventory("product", "delay", seconds=_FOREVER),
    _inventory("product", "trickle", seconds=_FOREVER),
)
"""The process of the inventory is also the product service. Not in `CATALOG`, because the rig's API
has none."""

_SHARD_AWAY = MongoError(133, "FailedToSatisfyReadPreference", ("RetryableWriteError",))
_TOO_LATE = MongoError(50, "MaxTimeMSExpired")
_CONFLICT = MongoError(112, "WriteConflict", ("TransientTransactionError",))
_DEFECT = MongoError(8, "UnknownError")


def _mongodb(call: str, answer: MongoError | float) -> PartialFault:
    if isinstance(answer, MongoError):
        return PartialFault(System.MONGODB, f"{call} {answer.name}", (call,), error=answer)
    return PartialFault(System.MONGODB, f"{call} {answer:g} s late", (call,), seconds=answer)


MONGODB = tuple(
    _mongodb(call, answer)
    for calls, answers in (
        (("find carts", "find operations"), (_SHARD_AWAY, _TOO_LATE, _DEFECT, _LATE, _NOT_IN_TIME)),
        (("insert operations",), (_CONFLICT, _TOO_LATE, _DEFECT, _LATE, _NOT_IN_TIME)),
        (("insert carts", "update carts"), (_CONFLICT, _TOO_LATE, _LATE, _NOT_IN_TIME)),
        (("update operations", "aggregate operations"), (_SHARD_AWAY, _DEFECT, _NOT_IN_TIME)),
        (("commitTransaction",), (_CONFLICT, _LATE, _NOT_IN_TIME)),
    )
    for call in calls
    for answer in answers
)


def _redis(answer: str | float, *calls: str) -> PartialFault:
    shown = " ".join(calls)
    if isinstance(answer, str):
        return PartialFault(System.REDIS, f"{shown} {answer.split()[0]}", calls, error=answer)
    return PartialFault(System.REDIS, f"{shown} {answer:g} s late", calls, seconds=answer)


_FULL = "OOM command not allowed when used memory > 'maxmemory'."
_READ_ONLY = "READONLY You can't write against a read only replica."
_WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
_NO_PERMISSION = "NOPERM No permissions to access a key"

REDIS = (
    *(_redis(answer, "SET") for answer in (_FULL, _NO_PERMISSION, _LATE, _NOT_IN_TIME)),
    *(_redis(answer, "SET", "DEL") for answer in (_READ_ONLY, _NOT_IN_TIME)),
    *(_redis(answer, "GET") for answer in (_WRONG_TYPE, _NO_PERMISSION, _LATE, _NOT_IN_TIME)),
)


def _kafka(call: str, name: str, code: int, topic: str | None = None) -> PartialFault:
    shown = " ".join(filter(None, (call, name, topic)))
    return PartialFault(System.KAFKA, shown, (call,), error=code, topic=topic)


KAFKA = (
    _kafka("produce", "not the leader", kafka.NOT_LEADER_FOR_PARTITION),
    _kafka("produce", "no replicas", kafka.NOT_ENOUGH_REPLICAS),
    _kafka("produce", "too large", kafka.MESSAGE_TOO_LARGE),
    _kafka("produce", "not authorized", kafka.TOPIC_AUTHORIZATION_FAILED),
    _kafka("produce", "storage", kafka.KAFKA_STORAGE_ERROR),
    _kafka("fetch", "not the leader", kafka.NOT_LEADER_FOR_PARTITION),
    _kafka("fetch", "storage", kafka.KAFKA_STORAGE_ERROR),
    _kafka("fetch", "unknown", -1),
    _kafka("produce", "no such topic", kafka.UNKNOWN_TOPIC_OR_PARTITION, CART_CLEARED),
    _kafka("fetch", "not authorized", kafka.TOPIC_AUTHORIZATION_FAILED, CART_ITEM_OUT_OF_STOCK),
)

_MESSAGES: Mapping[str, bytes] = {
    "header in Latin-1": batch(RawRecord(b"{}", b"partial-fault", LATIN_1)),
    "no JSON": batch(RawRecord(b"\xff\xfe{", b"partial-fault")),
    "no value": batch(RawRecord(None, b"partial-fault")),
    "not what its codec says": batch(RawRecord(b"{}", b"partial-fault"), attributes=3),
}
MESSAGES = tuple(PartialFault(System.MESSAGES, name) for name in _MESSAGES)

CATALOG = (*INVENTORY, *MONGODB, *REDIS, *KAFKA, *MESSAGES)


def random_mix(rng: random.Random) -> list[PartialFault]:
    """A fault of each system."""
    return [rng.choice([one for one in CATALOG if one.system is system]) for system in System]


@asynccontextmanager
async def applied(rig: FaultRig, fault: PartialFault, part: SickPart) -> AsyncIterator[None]:
    """Inside, the part has the fault. A message stays where it was sent."""
    match fault.system:
        case System.INVENTORY:
            where = {"storeId": part.store_id, "times": _TIMES}
            if part.product_id is not None:
                where["productId"] = part.product_id
            await _inventory_fault(rig, "POST", {**where, **fault.inventory})
            try:
                yield
            finally:
                await _inventory_fault(rig, "DELETE", storeId=part.store_id)
        case System.MESSAGES:
            # Apache Kafka validates batches and refuses some. The mix then goes on without them.
            with suppress(BatchRefusedError) if rig.production else nullcontext():
                for topic in CONSUMED:
                    port = rig.settings.kafka_port
                    await produce(port, topic, part.partition, _MESSAGES[fault.name])
            yield
        case _:
            rule = Rule(frozenset(fault.calls), _marks(fault, part), fault.error, fault.seconds)
            links = [link for link in rig.links.values() if link.name.endswith(f"-{fault.system}")]
            for link in links:
                link.rules.append(rule)
            try:
                yield
            finally:
                for link in links:
                    link.rules.remove(rule)


def _marks(fault: PartialFault, part: SickPart) -> tuple[str, ...]:
    match fault.system:
        case System.MONGODB:  # strings of a document end with a zero byte
            return (f"{part.store_id}\0", f"{part.user_id}\0")
        case System.REDIS:
            return (f"Cart:{part.store_id}:{part.user_id}:",)
        case _ if fault.topic is not None:
            return (partition_mark(fault.topic),)
        case _:
            topics = CONSUMED if "fetch" in fault.calls else PUBLISHED
            return tuple(partition_mark(topic, part.partition) for topic in topics)


async def _inventory_fault(rig: FaultRig, method: str, fault: Any = None, **where: str) -> None:
    async def done() -> None:
        answer = await rig.inventory.request(method, "/faults", json=fault, params=where)
        answer.raise_for_status()

    try:
        await done()
    except httpx.HTTPError:  # it is down or restarts: another fault
        await eventually(done, timeout=_HEAL_SECONDS)
