"""Rules of a proxy: which requests are sick, and what happens to them.

A `Conversation` is one connection of a client through the proxy. It splits the client's bytes into
requests, so that the proxy can refuse or delay one and forward all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


@dataclass(frozen=True)
class Rule:
    """Requests of one of `calls` (all, if there is none) that mention all of `marks`.

    `error` refuses them with an error of the system, `seconds` delays them.
    """

    calls: frozenset[str]
    marks: tuple[str, ...]
    error: Any = None
    seconds: float = 0.0

    def applies(self, calls: Sequence[str], text: bytes) -> bool:
        return self.applies_to_call(calls) and all(mark.encode() in text for mark in self.marks)

    def applies_to_call(self, calls: Sequence[str]) -> bool:
        return not self.calls or not self.calls.isdisjoint(calls)


class Verdict(NamedTuple):
    """What the proxy sends to the server and to the client, after a delay."""

    to_server: bytes
    to_client: bytes = b""
    seconds: float = 0.0


class Conversation(Protocol):
    """The requests and responses of one connection."""

    def requests(self, data: bytes) -> list[bytes]:
        """The requests that these bytes complete."""

    def judge(self, request: bytes, rules: Sequence[Rule]) -> Verdict:
        """What happens to a request."""

    def responses(self, data: bytes) -> bytes:
        """What the client gets when the server has sent these bytes."""


@dataclass
class Split:
    """Splits a stream into messages by the length at their beginning."""

    length_bytes: int
    little_endian: bool
    includes_itself: bool
    _rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[bytes]:
        self._rest += data
        found = []
        while len(self._rest) >= self.length_bytes:
            order = "little" if self.little_endian else "big"
            length = int.from_bytes(self._rest[: self.length_bytes], order)  # type: ignore[arg-type]
            length += 0 if self.includes_itself else self.length_bytes
            if len(self._rest) < length:
                break
            found.append(bytes(self._rest[:length]))
            del self._rest[:length]
        return found


def delay_of(rules: Sequence[Rule]) -> float:
    """The longest delay of these rules."""
    return max((rule.seconds for rule in rules), default=0.0)
