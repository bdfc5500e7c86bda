"""Redis' wire protocol (RESP): commands as arrays of strings, several at once in a pipeline.

https://redis.io/docs/latest/develop/reference/protocol-spec
"""

from collections.abc import Iterator, Sequence

from tests.faults.partial.rules import Rule, Verdict, delay_of

_FAIL = b"return redis.error_reply(ARGV[1])"


class RedisConversation:
    """The commands of one connection. A call is named by its command, in capitals.

    A refused command is replaced by a script that fails with the error, so that the responses to
    the other commands of a pipeline stay in order.
    """

    def __init__(self) -> None:
        self._rest = b""

    def requests(self, data: bytes) -> list[bytes]:
        self._rest += data
        found = []
        while (end := _end_of_command(self._rest)) is not None:
            found.append(self._rest[:end])
            self._rest = self._rest[end:]
        return found

    def responses(self, data: bytes) -> bytes:
        return data

    def judge(self, request: bytes, rules: Sequence[Rule]) -> Verdict:
        words = list(_words(request))
        calls = (words[0].decode(errors="replace").upper(),)
        sick = [rule for rule in rules if rule.applies(calls, request)]
        for rule in sick:
            if rule.error is not None:
                failing = _encoded(b"EVAL", _FAIL, b"0", str(rule.error).encode())
                return Verdict(failing, seconds=delay_of(sick))
        return Verdict(request, seconds=delay_of(sick))


def _end_of_command(data: bytes) -> int | None:
    """Where the first command ends; None when it is incomplete."""
    end = data.find(b"\r\n")
    if end < 0:
        return None
    position = end + 2
    for _ in range(int(data[1:end])):
        end = data.find(b"\r\n", position)
        if end < 0:
            return None
        position = end + 2 + int(data[position + 1 : end]) + 2
    return position if position <= len(data) else None


def _words(command: bytes) -> Iterator[bytes]:
    end = command.index(b"\r\n")
    position = end + 2
    for _ in range(int(command[1:end])):
        end = command.index(b"\r\n", position)
        length = int(command[position + 1 : end])
        yield command[end + 2 : end + 2 + length]
        position = end + 2 + length + 2


def _encoded(*words: bytes) -> bytes:
    parts = [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n" % len(words) + b"".join(parts)
