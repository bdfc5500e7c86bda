"""The options of `ops.filters.SagaQuery`, by the names of its fields."""

from functools import partial
from typing import Any

import typer

from cli.options import grouped, parsed_by
from ops.filters import STATES, saga_state
from ops.times import duration

_OPTIONS: dict[str, Any] = {
    "store": typer.Option(help="Of this store."),
    "user": typer.Option(help="Of this user."),
    "product": typer.Option(help="About this product."),
    "operation": typer.Option(help="AddItem, UpdateQuantity, RemoveItem, MergeCart, ..."),
    "attention": typer.Option("--attention", help="That need attention."),
    "older_than": parsed_by(
        duration, metavar="AGE", help="Started so long ago or longer: 90s, 5m, 2h."
    ),
    "outcome": parsed_by(
        saga_state,
        metavar="OUTCOME",
        help=f"{', '.join(STATES[:-1])} or {STATES[-1]}.",
        autocompletion=lambda: [*STATES],
    ),
    "order": typer.Option(help="Caused by this order."),
    "newer_than": parsed_by(duration, metavar="AGE", help="Started within this time."),
}

filtered = partial(grouped, options=_OPTIONS)
"""Lets a command take a `SagaFilter` or a `SagaQuery` as `which`."""
