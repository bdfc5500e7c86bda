"""Kafka's wire protocol: produce and fetch requests, of several partitions each.

https://kafka.apache.org/protocol. A refused partition is taken out of a produce request, so that
its messages are not stored, and added to the response with the error. In the response to a fetch
it gets the error in place of its messages.
"""

from collections.abc import Sequence
from typing import Any

from aiokafka.partitioner import murmur2
from aiokafka.protocol import fetch, produce
from aiokafka.protocol.api import RequestStruct

from cli.setup import PARTITIONS
from tests.faults.partial.rules import Rule, Split, Verdict, delay_of

UNKNOWN_TOPIC_OR_PARTITION = 3
NOT_LEADER_FOR_PARTITION = 6
MESSAGE_TOO_LARGE = 10
NOT_ENOUGH_REPLICAS = 19
TOPIC_AUTHORIZATION_FAILED = 29
KAFKA_STORAGE_ERROR = 56

_FETCH = 1
_NO_OFFSET = -1
_CALLS = {0: "produce", _FETCH: "fetch"}
_REQUESTS: dict[tuple[int, int], type[RequestStruct]] = {
    (kind.API_KEY, kind.API_VERSION): kind
    for module in (fetch, produce)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, RequestStruct) and kind is not RequestStruct
}

Refused = dict[tuple[str, int], int]
"""Topic and partition -> the error code."""


def partition_mark(topic: str, partition: int | None = None) -> str:
    """The mark of a rule for a topic, or for one partition of it."""
    return topic if partition is None else f"{topic}/{partition}"


def partition_of(key: str) -> int:
    """The partition of messages with this key, such as a cart's id."""
    hashed: int = murmur2(key.encode())
    return (hashed & 0x7FFFFFFF) % PARTITIONS


class KafkaConversation:
    """The requests of one connection; the broker answers them in order."""

    def __init__(self) -> None:
        self._split = Split(4, little_endian=False, includes_itself=False)
        self._answers = Split(4, little_endian=False, includes_itself=False)
        self._refused: dict[int, tuple[type[RequestStruct], Refused]] = {}

    def requests(self, data: bytes) -> list[bytes]:
        return self._split.feed(data)

    def judge(self, request: bytes, rules: Sequence[Rule]) -> Verdict:
        key, version = (int.from_bytes(request[at : at + 2], "big") for at in (4, 6))
        kind = _REQUESTS.get((key, version))
        call = _CALLS.get(key)
        rules = [rule for rule in rules if rule.applies_to_call((call or "",))]
        if kind is None or call is None or not rules:
            return Verdict(request)
        header = request[4 : _body_at(request)]
        body: Any = kind.decode(request[4 + len(header) :])
        refused: Refused = {}
        sick: list[Rule] = []
        for topic, partitions in body.topics:
            for partition, *_ in partitions:
                for rule in rules:
                    if not {topic, partition_mark(topic, partition)}.isdisjoint(rule.marks):
                        sick.append(rule)
                        if rule.error is not None:
                            refused[topic, partition] = rule.error
        if not refused:
            return Verdict(request, seconds=delay_of(sick))
        self._refused[_number(request, 8)] = (kind, refused)
        if key != _FETCH:
            body.topics = _without(body.topics, refused)
        return Verdict(_framed(header + body.encode()), seconds=delay_of(sick))

    def responses(self, data: bytes) -> bytes:
        return b"".join(self._answered(answer) for answer in self._answers.feed(data))

    def _answered(self, answer: bytes) -> bytes:
        number = _number(answer, 4)
        if number not in self._refused:
            return answer
        kind, refused = self._refused.pop(number)
        body: Any = kind.RESPONSE_TYPE.decode(answer[8:])
        if kind.API_KEY == _FETCH:
            body.topics = [
                (topic, [_failed_fetch(topic, one, refused) for one in partitions])
                for topic, partitions in body.topics
            ]
        else:
            body.topics = [*body.topics, *_failed_produce(kind, refused)]
        return _framed(answer[4:8] + body.encode())


def _number(message: bytes, at: int) -> int:
    """The number that a request and its response have in common."""
    return int.from_bytes(message[at : at + 4], "big")


def _body_at(request: bytes) -> int:
    """Where the body begins: after length, kind, version, number and the client's name."""
    return 14 + int.from_bytes(request[12:14], "big")


def _without(topics: Any, refused: Refused) -> list[Any]:
    left = (
        (topic, [one for one in partitions if (topic, one[0]) not in refused])
        for topic, partitions in topics
    )
    return [(topic, partitions) for topic, partitions in left if partitions]


def _failed_fetch(topic: str, partition: tuple[Any, ...], refused: Refused) -> tuple[Any, ...]:
    """The partition with the error as its second field, and without messages, its last one."""
    code = refused.get((topic, partition[0]))
    return partition if code is None else (partition[0], code, *partition[2:-1], b"")


def _failed_produce(kind: type[RequestStruct], refused: Refused) -> list[Any]:
    """The partitions with their errors; the other fields are numbers that mean nothing then."""
    schema: Any = kind.RESPONSE_TYPE.SCHEMA
    topics = schema.fields[schema.names.index("topics")]
    fields = len(topics.array_of.fields[1].array_of.fields)
    return [
        (topic, [(partition, code, *(_NO_OFFSET,) * (fields - 2))])
        for (topic, partition), code in refused.items()
    ]


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content
