"""The options that several commands share."""

import getpass
import re
import socket
from datetime import timedelta
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Watch = Annotated[
    bool, typer.Option("--watch", help="Print it again every 2 seconds, until Ctrl-C.")
]
Reason = Annotated[str, typer.Option(help="Why; it is kept.")]
By = Annotated[str | None, typer.Option(help="Who says so; default: USER@HOST.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for the end.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what it would be done to.")]
Confirm = Annotated[
    int | None, typer.Option(help="How many it is to be; asked for when absent.", min=0)
]
Saga = Annotated[
    str,
    typer.Argument(
        metavar="SAGA",
        help="STORE/USER (the cart's latest), or the id of a run, operation or saga.",
    ),
]


def _store_id(value: str | None) -> str | None:
    if value is not None and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value) is None:
        raise typer.BadParameter("a store's id is 1 to 64 of A-Z a-z 0-9 _ -")
    return value


OnlyStore = Annotated[
    str | None,
    typer.Option("--store", metavar="STORE", help="Only this store.", callback=_store_id),
]


def operator(by: str | None) -> str:
    """Who gives the command."""
    return by or f"{getpass.getuser()}@{socket.gethostname()}"


def age(text: str | None) -> timedelta | None:
    """A duration that was given; ends the command with a usage error when it is none."""
    from cli.ops.sagas import duration  # noqa: PLC0415

    try:
        return duration(text) if text else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
