"""MongoDB's wire protocol: commands as OP_MSG, each with one response before the next command.

https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol
"""

import struct
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import bson

from tests.faults.partial.rules import Rule, Split, Verdict, delay_of

_OP_MSG = 2013
_HEADER = struct.Struct("<iiii")
_BODY_AT = _HEADER.size + 4 + 1  # after the flags and the kind of the first section
_TRANSACTIONS = 1000
_ENDS = frozenset({"commitTransaction", "abortTransaction"})


@dataclass(frozen=True)
class MongoError:
    """The answer to a refused command."""

    code: int
    name: str
    labels: tuple[str, ...] = ()

    def encoded(self) -> bytes:
        answer = {"ok": 0.0, "errmsg": "injected", "code": self.code, "codeName": self.name}
        return bson.encode(answer | ({"errorLabels": [*self.labels]} if self.labels else {}))


class MongoConversation:
    """The commands of one connection.

    A call is named by its command, and by command and collection, such as `find carts`. A
    transaction's end has no cart; it mentions what the transaction's commands have mentioned, which
    may have come by another connection.
    """

    _mentioned: OrderedDict[tuple[bytes, int], bytes] = OrderedDict()

    def __init__(self) -> None:
        self._split = Split(4, little_endian=True, includes_itself=True)

    def requests(self, data: bytes) -> list[bytes]:
        return self._split.feed(data)

    def responses(self, data: bytes) -> bytes:
        return data

    def judge(self, request: bytes, rules: Sequence[Rule]) -> Verdict:
        _, request_id, _, operation = _HEADER.unpack_from(request)
        if operation != _OP_MSG:
            return Verdict(request)
        command: dict[str, Any] = bson.decode(_document(request))
        name = next(iter(command))
        text = self._noted(command, name, request)
        calls = (name, f"{name} {command[name]}")
        sick = [rule for rule in rules if rule.applies(calls, text)]
        for rule in sick:
            if rule.error is not None:
                answer = bytes(5) + rule.error.encoded()
                header = _HEADER.pack(_HEADER.size + len(answer), 1, request_id, _OP_MSG)
                return Verdict(b"", header + answer, delay_of(sick))
        return Verdict(request, seconds=delay_of(sick))

    def _noted(self, command: dict[str, Any], name: str, request: bytes) -> bytes:
        """The request's text, or that of its transaction."""
        if "txnNumber" not in command or command.get("autocommit", True):
            return request
        key = (bytes(command["lsid"]["id"]), int(command["txnNumber"]))
        if name in _ENDS:
            return self._mentioned.get(key, b"")
        self._mentioned[key] = self._mentioned.get(key, b"") + request
        if len(self._mentioned) > _TRANSACTIONS:
            self._mentioned.popitem(last=False)
        return request


def _document(request: bytes) -> bytes:
    """The first section, which pymongo writes as a single document."""
    (length,) = struct.unpack_from("<i", request, _BODY_AT)
    return request[_BODY_AT : _BODY_AT + length]
