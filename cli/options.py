"""Options that several commands share, and groups of options."""

import getpass
import inspect
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from functools import wraps
from typing import Annotated, Any

import typer

from cli.console import warn
from models.store_id import is_store_id


def parsed_by(parse: Callable[[str], Any], **option: Any) -> Any:
    """An option whose text `parse` reads; its `ValueError` is a usage error."""

    def value(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return typer.Option(parser=value, **option)


def store_id(text: str) -> str:
    """A store's id; raises `ValueError` for a text that cannot be one."""
    if not is_store_id(text):
        raise ValueError("a store's id is 1 to 64 of A-Z a-z 0-9 _ -")
    return text


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Watch = Annotated[
    bool, typer.Option("--watch", help="Print it again every 2 seconds, until Ctrl-C.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would be done.")]
Confirm = Annotated[
    int | None, typer.Option(min=0, help="How many must match; asked for when absent.")
]
Why = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]
By = Annotated[str | None, typer.Option("--by", "--as", help="The operator; default: USER@HOST.")]
StoreName = Annotated[str, parsed_by(store_id, metavar="STORE", help="The store's id.")]
OnlyStore = Annotated[str | None, parsed_by(store_id, metavar="STORE", help="Only this store.")]


def operator(by: str | None) -> str:
    """The operator in whose name a command acts; a user without a name is its number."""
    if by:
        return by
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def confirmed(action: str, count: int, what: str, confirm: int | None) -> bool:
    """Whether the operator confirms the number, by `--confirm` or on a terminal when asked.

    With no match there is nothing to confirm, unless some were expected.
    """
    if not count and not confirm:
        return True
    given = confirm
    if given is None and sys.stdin.isatty():
        given = _typed(f"Type the number of {what} to {action}: ")
    if given == count:
        return True
    expected = "" if given is None else f", not {given}"
    again = f"; confirm with --confirm {count}" if count else ""
    warn(f"Aborted: {count} {what} matched{expected}{again}")
    return False


def _typed(question: str) -> int | None:
    """The number that is typed on the terminal; None for anything else. Not `input`, which writes
    to standard output."""
    sys.stderr.write(question)
    sys.stderr.flush()
    text = sys.stdin.readline().strip()
    return int(text) if text.isascii() and text.isdecimal() else None


def grouped(
    command: Callable[..., None], *, options: Mapping[str, Any] | None = None
) -> Callable[..., None]:
    """Lets a command take a dataclass as `which`: each of its fields becomes an option.

    `options` has those of a dataclass that has none itself, by the names of its fields.
    """
    signature = inspect.signature(command)
    group = signature.parameters["which"].annotation
    others = [one for one in signature.parameters.values() if one.name != "which"]

    def parameter(field: Field[Any]) -> inspect.Parameter:
        kind = field.type if options is None else Annotated[field.type, options[field.name]]
        return inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=kind
        )

    @wraps(command)
    def run(**values: Any) -> None:
        which = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(which=which, **values)

    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*others, *map(parameter, fields(group))]
    )
    return run
