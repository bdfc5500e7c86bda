"""Options that several commands have."""

import re
from typing import Annotated

import typer


def _store_id(value: str | None) -> str | None:
    if value is not None and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value) is None:
        raise typer.BadParameter("a store's id is 1 to 64 of A-Z a-z 0-9 _ -")
    return value


OnlyStore = Annotated[
    str | None,
    typer.Option("--store", metavar="STORE", help="Only this store.", callback=_store_id),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
