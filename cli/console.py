"""Output of all commands: texts, tables, JSON and errors.

No command writes to standard output by other means. Control characters, and what a terminal cannot
show, are escaped (`telemetry.printable`); `cli.streams` handles errors of the streams themselves.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import is_dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Literal
from urllib.parse import urlsplit

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from cli.tables import UNFOLDED, Table
from cli.texts import fold_line, in_one_line
from models.errors import DependencyUnavailable
from ops.words import reason
from telemetry.printable import printable, printable_json


class ExitCode(IntEnum):
    """0 to 2 are those of all commands, the others of `cart ops`; Ctrl-C ends with 130."""

    OK = 0
    PROBLEM = 1  # nothing could be done without a server, or (`stuck`) something needs attention
    USAGE = 2  # the arguments or the settings cannot be used
    NOT_FOUND = 3  # there is no such saga, effect or hold
    NOT_YET = 4  # the timeout passed before the saga ended; it continues
    OTHERWISE = 5  # the saga ended differently: `wait` saw no commit, or `abort` was too late
    NOT_CONFIRMED = 6  # nothing was changed, because the count was not confirmed
    INCOMPLETE = 7  # something is shown, but a server could not be asked


class CliError(Exception):
    """Ends the command: its lines go to standard error, without a traceback."""

    def __init__(self, *lines: str, exit_code: int = 1) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.exit_code = exit_code


class _Terminal(Console):
    """Shows texts as they are, without markup. No control character of a text reaches the stream,
    whatever has the text: a line, a cell, or another renderable."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                lines = (printable(line, self.encoding) for line in segment.text.split("\n"))
                yield Segment("\n".join(lines), segment.style)


def output(*, errors: bool = False) -> Console:
    """Standard output, or standard error.

    As wide as the terminal or `COLUMNS`; in a pipe without `COLUMNS` no line is folded. Colored on
    a terminal, unless NO_COLOR, CLICOLOR=0 or TERM=dumb say otherwise; elsewhere with FORCE_COLOR
    or CLICOLOR_FORCE.
    """
    stream = sys.stderr if errors else sys.stdout
    terminal = stream.isatty()
    return _Terminal(
        stderr=errors,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if terminal or "COLUMNS" in os.environ else UNFOLDED,
        force_terminal=terminal,
        color_system=_color_system(terminal=terminal),
    )


def _color_system(*, terminal: bool) -> Literal["auto", "standard"] | None:
    given = os.environ.get
    if given("NO_COLOR") or given("TERM") in {"dumb", "unknown"}:
        return None
    if any(given(name, "0") not in {"", "0"} for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return "standard"
    return "auto" if terminal and given("CLICOLOR") != "0" else None


def show(
    document: Any, *parts: Table | Text | str, as_json: bool = False, clear: bool = False
) -> None:
    """Prints the document as JSON, or the parts: tables and lines of text.

    With `clear` the terminal is cleared first, unless it is JSON.
    """
    if as_json:
        print_json(document)
        return
    console = output()
    if clear:
        console.clear()
    print_parts(console, *parts)


def print_parts(console: Console, *parts: Table | Text | str) -> None:
    """Prints tables, and lines of text, which are folded at words. A newline in a line is data."""
    for part in parts:
        if isinstance(part, Table):
            console.print(part, soft_wrap=True)
        else:
            line = in_one_line(console, part)
            console.print(fold_line(line, console.width), soft_wrap=True)


def say(*lines: str) -> None:
    """Prints lines of text."""
    show(None, *lines)


def say_whole(*lines: str) -> None:
    """Prints lines that are never folded: a token, or a command to copy."""
    console = output()
    for line in lines:
        console.print(in_one_line(console, line), soft_wrap=True)


def warn(*lines: str) -> None:
    """Prints lines on standard error."""
    with suppress(OSError):
        print_parts(output(errors=True), *lines)


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=_encodable)
    print(printable_json(text, output().encoding), flush=True)


def _encodable(value: Any) -> Any:
    """What JSON has no form for; times are UTC."""
    if is_dataclass(value):
        return vars(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def can_show(console: Console, text: str) -> bool:
    """Whether the terminal's encoding has these characters."""
    return printable(text, console.encoding) == text


def without_login(address: str) -> str:
    """`host:port` of a URI with any scheme, or a URL as it is, never with user and password.

    >>> without_login("mongodb://user:secret@mongo:27017/cart-service?replicaSet=rs0")
    'mongo:27017'
    >>> without_login("https://user:secret@stock.example/base")
    'https://stock.example/base'
    """
    parts = urlsplit(address)
    hosts = parts.netloc.rpartition("@")[2]
    if parts.scheme in {"http", "https"}:
        return f"{parts.scheme}://{hosts}{parts.path.rstrip('/')}"
    return hosts or parts.path


def unavailable(error: DependencyUnavailable) -> str:
    """A dependency that does not answer, and why, on one line."""
    return f"{error.dependency} is unavailable: {reason(error)}"
