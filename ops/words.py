"""Texts and errors of other systems in a few words."""

import errno
import re
import textwrap
from collections.abc import Iterator

from models.errors import DependencyUnavailable

BRIEF_CHARACTERS = 160

# What drivers add to an error: their settings, and every server they know.
_DUMP = re.compile(r" \(configured timeouts: [^)]*\)|,? Timeout: [\d.]+s, Topology Description: .*")
_NO_BROKER = re.compile(r"\w*Error\((['\"])Unable to bootstrap.*?\1\)")

# Texts of drivers, and what they mean. The first pattern that matches is used.
NO_ANSWER = "no answer in time"
BAD_CERTIFICATE = "a certificate is not accepted"
CLOSED = "the server closed the connection"

_MEANINGS = (
    (rf"connection refused|\[Errno {errno.ECONNREFUSED}\]", "connection refused"),
    ("unable to bootstrap|KafkaConnectionError", "no broker can be reached"),
    ("dns error", "unknown host name"),
    ("certificate", BAD_CERTIFICATE),
    ("connection closed", CLOSED),
    ("unauthenticated", "unauthenticated"),
)


def brief(text: str) -> str:
    """A text of another system on one line, without driver dumps, ending in `...` when cut."""
    short = _NO_BROKER.sub("no broker can be reached", _DUMP.sub("", text))
    return textwrap.shorten(short, BRIEF_CHARACTERS, placeholder=" ...")


def reason(error: BaseException) -> str:
    """Why a call failed, in a few words: the innermost cause with a known meaning, or its text."""
    for inner in _causes(error):
        for pattern, meaning in _MEANINGS:
            if re.search(pattern, str(inner), re.IGNORECASE):
                return meaning
        if isinstance(inner, ConnectionRefusedError):
            return "connection refused"
        if "timeout" in type(inner).__name__.lower():
            return NO_ANSWER
    text = brief(error.detail if isinstance(error, DependencyUnavailable) else str(error))
    return text if len(text) > 1 else type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything that caused it, the innermost first."""
    chain: list[BaseException] = []
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if current in chain:
            continue
        chain.append(current)
        waiting += [inner for inner in (current.__cause__, current.__context__) if inner]
        waiting += getattr(current, "exceptions", ())
    yield from reversed(chain)
