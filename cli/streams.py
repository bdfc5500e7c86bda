"""The standard streams of a command: what happens when they are closed, full, or not UTF-8."""

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from cli.console import CliError


class _Output(io.TextIOWrapper):
    """Standard output. A reader that closes the pipe ends the command with exit code 0, and a full
    disk ends it with an error line; so for every caller that writes."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            _cannot_write(error)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            _cannot_write(error)


def prepare() -> None:
    """Opens streams that are closed, and lets no character be one that cannot be written."""
    _open_closed()
    if type(sys.stdout) is io.TextIOWrapper:  # not one of a test
        encoding, buffering = sys.stdout.encoding, sys.stdout.line_buffering
        sys.stdout = _Output(sys.stdout.detach(), encoding=encoding, line_buffering=buffering)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def arguments_of(words: Iterable[str]) -> list[str]:
    """The arguments as text, which is UTF-8 also where the locale is not.

    Raises `CliError` for one that is no text, or has control characters.
    """
    checked = []
    for number, word in enumerate(words, 1):
        text = word
        if not word.isascii() and any("\ud800" <= one <= "\udfff" for one in word):
            try:
                text = os.fsencode(word).decode()
            except ValueError:
                raise CliError(f"argument {number} is not UTF-8: {word!a}", exit_code=2) from None
        if any((one < " " and one not in "\n\t") or "\x7f" <= one <= "\x9f" for one in text):
            raise CliError(f"argument {number} has a control character: {word!a}", exit_code=2)
        checked.append(text)
    return checked


def _open_closed() -> None:
    """Without this, the next socket would have the number of a closed stream."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 (standard error)
        pass
    os.close(number)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 (to the end)
            setattr(sys, name, stream)


def _cannot_write(error: OSError) -> NoReturn:
    """What is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(error, BrokenPipeError):
        raise SystemExit(0) from None
    raise CliError(f"cannot write the output: {error.strerror}") from None
