"""Confirmation of commands that act on several things at once, by their number."""

import sys

import typer

from cli.console import warn


def confirmed(action: str, count: int, what: str, confirm: int | None) -> bool:
    """Whether the operator confirms the number, by `--confirm` or on a terminal when asked.

    With no match there is nothing to confirm, unless some were expected.
    """
    if not count and not confirm:
        return True
    given = confirm
    if given is None and sys.stdin.isatty():
        given = typer.prompt(f"Type the number of {what} to {action}", type=int, err=True)
    if given == count:
        return True
    expected = "" if given is None else f", not {given}"
    again = f"; confirm with --confirm {count}" if count else ""
    warn(f"Aborted: {count} {what} matched{expected}{again}")
    return False
