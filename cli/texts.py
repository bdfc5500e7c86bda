"""Lines folded for a terminal."""

import re

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from telemetry.printable import printable

_COMMAND_OR_TIME = re.compile(r"`[^`]+`|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:Z| UTC)?")
_WORD = re.compile(r"(\s*)(\S+)")
_GLUE = "\ue000"
"""Stands for a space at which no line ends; not printable, so it is in no text."""


def in_one_line(console: Console, value: object) -> Text:
    """A value as text, with escapes for newlines and what else the terminal cannot show."""
    if not isinstance(value, Text):
        return Text("" if value is None else printable(str(value), console.encoding))
    shown = printable(value.plain, console.encoding)
    return value if shown == value.plain else Text(shown, value.style)


def fold(text: Text, width: int, *, hang: int = 0, break_words: bool = False) -> list[Text]:
    """The text in lines that end at spaces, and within no command and no time that fits a line.

    All but the first are indented by `hang`. A word that is longer than a line stays whole, or is
    broken with `break_words`, unless it is a URL: it can still be copied.
    """

    ends: list[int] = []
    room = width
    for found in _WORD.finditer(_glued(text.plain, width - hang)):
        spaces, word = found.groups()
        if found.start() and cell_len(found[0]) > room:
            ends.append(found.start(2))
            room = width - hang
        else:
            room -= cell_len(spaces)
        if not break_words or "://" in word or cell_len(word) <= room:
            room -= cell_len(word)
            continue
        for at, character in enumerate(word, found.start(2)):
            if cell_len(character) > room:
                ends.append(at)
                room = width - hang
            room -= cell_len(character)
    first, *more = text.divide(ends)
    lines = [first, *(Text(" " * hang) + line for line in more)]
    for line in lines:
        line.rstrip()
    return lines


def longest_part(text: Text) -> int:
    """The cells of the longest word, command or time."""
    return max((cell_len(part) for part in _glued(text.plain).split()), default=0)


def _glued(text: str, width: int | None = None) -> str:
    """The text with commands and times as one word, if they fit the width."""

    def glued(found: re.Match[str]) -> str:
        fits = width is None or cell_len(found[0]) <= width
        return found[0].replace(" ", _GLUE) if fits else found[0]

    return _COMMAND_OR_TIME.sub(glued, text)


def fold_line(text: Text, width: int) -> Text:
    """A line of text; where it is folded, its other lines are indented by two more."""
    indent = len(text.plain) - len(text.plain.lstrip())
    return Text("\n").join(fold(text, width, hang=indent + 2))
