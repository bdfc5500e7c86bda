"""What the commands share: their errors, what they print with, and how an address is shown."""

import errno
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console

PIPED_WIDTH = 140


class CliError(Exception):
    """Ends the command: its text goes to standard error, without a traceback."""

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def output() -> Console:
    """Standard output. Texts are shown as they are: no markup, no colours of rich's own choice."""
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def can_show(console: Console, text: str) -> bool:
    """Whether the terminal's encoding has these characters."""
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    import orjson  # noqa: PLC0415 (not needed by the commands that must be quick)

    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


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
    """Why a connection failed, in a few words: the innermost cause that says something."""
    for inner in _causes(error):
        if isinstance(inner, ConnectionRefusedError) or _errno(inner) == errno.ECONNREFUSED:
            return "connection refused"
        if "timeout" in type(inner).__name__.lower():
            return "no answer in time"
    text = str(error).strip()
    first_line = text.splitlines()[0] if text else ""
    return first_line if len(first_line) > 1 else type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything it came from, the innermost first."""
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


def _errno(error: BaseException) -> int | None:
    """asyncio puts several refused connections (IPv6, IPv4) into one `OSError` without a number."""
    if isinstance(error, OSError) and error.errno is None and error.args:
        return errno.ECONNREFUSED if f"[Errno {errno.ECONNREFUSED}]" in str(error) else None
    return getattr(error, "errno", None)
