"""Texts of other systems, made fit for a terminal."""

import re
import textwrap
from typing import TypeVar

from rich.text import Text

BRIEF_CHARACTERS = 160

T = TypeVar("T")

# C0 without tab and newline, DEL, C1, and the characters that change the direction of text.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# What drivers add to an error: their settings, and every server they know.
_DUMP = re.compile(r" \(configured timeouts: [^)]*\)|,? Timeout: [\d.]+s, Topology Description: .*")
_NO_BROKER = re.compile(r"\w*Error\((['\"])Unable to bootstrap.*?\1\)")


def printable(text: str) -> str:
    r"""Control characters, which a terminal would obey, as escapes.

    >>> printable("\x1b]0;title\x07")
    '\\x1b]0;title\\x07'
    """
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def harmless(value: T) -> T | Text:
    """The value, but a rich text with control characters as escapes."""
    if isinstance(value, Text) and CONTROL.search(value.plain):
        return Text(printable(value.plain), value.style)
    return value


def brief(text: str) -> str:
    """A text of another system on one line, without driver dumps, ending in `...` when cut."""
    short = _NO_BROKER.sub("no broker can be reached", _DUMP.sub("", text))
    return textwrap.shorten(short, BRIEF_CHARACTERS, placeholder=" ...")
