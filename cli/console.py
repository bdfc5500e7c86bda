"""Output of all commands: texts, tables, JSON and errors.

No command writes to standard output by other means. Control characters in data are shown escaped.
A character that the encoding of the terminal lacks becomes `?`. When the reader of a pipe closes it
(`| head`), the command ends with exit code 0.
"""

import errno
import io
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from enum import IntEnum
from typing import Any, NoReturn
from urllib.parse import urlsplit

import orjson
from rich.console import Console
from rich.text import Text

from cli.tables import Table
from cli.texts import CONTROL, brief, harmless, printable
from models.errors import DependencyUnavailable

PIPED_WIDTH = 140

_NOT_ASCII = re.compile(r"[^\x00-\x7e]")

# Texts of drivers, and what they mean. The first pattern that matches is used.
_MEANINGS = (
    (rf"connection refused|\[Errno {errno.ECONNREFUSED}\]", "connection refused"),
    ("unable to bootstrap|KafkaConnectionError", "no broker can be reached"),
    ("dns error", "unknown host name"),
    ("certificate", "a certificate is not accepted"),
    ("unauthenticated", "unauthenticated"),
)


class ExitCode(IntEnum):
    """0 to 2 are those of all commands, the others of `cart ops`."""

    OK = 0
    PROBLEM = 1  # nothing could be done without a server, or (`stuck`) something needs attention
    USAGE = 2  # the arguments or the settings cannot be used
    NOT_FOUND = 3  # there is no such saga, effect or hold
    NOT_YET = 4  # the timeout passed before the saga ended; it continues
    OTHERWISE = 5  # the saga ended differently: `wait` saw no commit, or `abort` was too late
    NOT_CONFIRMED = 6  # nothing was changed, because the count was not confirmed
    INCOMPLETE = 7  # something is shown, but a server could not be asked


class CliError(Exception):
    """Ends the command: its text goes to standard error, without a traceback."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _Terminal(Console):
    """Shows texts as they are, without markup, but no control characters of theirs."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*map(harmless, objects), **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)

    def on_broken_pipe(self) -> NoReturn:
        _end_without_reader()


def prepare() -> None:
    """Lets standard output replace what its encoding lacks; by default it would raise."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def output() -> Console:
    """Standard output, as wide as the terminal or `COLUMNS`; `PIPED_WIDTH` in a pipe."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return _Terminal(highlight=False, markup=False, emoji=False, width=width)


def show(
    document: Any, *parts: Table | Text | str, as_json: bool = False, clear: bool = False
) -> None:
    """Prints the document as JSON, or the parts: tables, and texts whose lines are never broken.

    With `clear` the terminal is cleared first, unless it is JSON.
    """
    if as_json:
        print_json(document)
        return
    console = output()
    if clear:
        console.clear()
    for part in parts:
        console.print(part, soft_wrap=not isinstance(part, Table))


def say(*lines: str) -> None:
    """Prints lines of text."""
    show(None, *lines)


def warn(message: str) -> None:
    """Prints a line on standard error."""
    with suppress(OSError):
        print(printable(message), file=sys.stderr)


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    escaped = CONTROL if can_show(output(), text) else _NOT_ASCII
    try:
        print(escaped.sub(lambda found: json.dumps(found[0])[1:-1], text), flush=True)
    except BrokenPipeError:
        _end_without_reader()


def can_show(console: Console, text: str) -> bool:
    """Whether the terminal's encoding has these characters."""
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


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


def reason(error: BaseException) -> str:
    """Why a call failed, in a few words: the innermost cause with a known meaning, or its text."""
    for inner in _causes(error):
        for pattern, meaning in _MEANINGS:
            if re.search(pattern, str(inner), re.IGNORECASE):
                return meaning
        if isinstance(inner, ConnectionRefusedError):
            return "connection refused"
        if "timeout" in type(inner).__name__.lower():
            return "no answer in time"
    text = brief(error.detail if isinstance(error, DependencyUnavailable) else str(error))
    return text if len(text) > 1 else type(error).__name__


def unavailable(error: DependencyUnavailable) -> str:
    """A dependency that does not answer, and why, on one line."""
    return f"{error.dependency} is unavailable: {reason(error)}"


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


def _end_without_reader() -> NoReturn:
    """Ends the command; what is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(0)
