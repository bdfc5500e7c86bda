"""`cart doctor`: checks every dependency and says what to do about each problem.

Each of the other modules has the checks of one part. They run at the same time, each with a time
limit. `inventory` plays the inventory's contract instead, and `production` goes through the
production checklist, when that is asked for.
"""

from typing import Annotated

import typer
from rich.text import Text

from cli.console import show
from cli.doctor import checks
from cli.doctor.inventory import play
from cli.doctor.production import examine_production
from cli.doctor.results import CheckResult, Status
from cli.options import AsJson
from cli.tables import Column, Table
from settings import load_settings

STYLES = {
    Status.OK: "green",
    Status.WARN: "yellow",
    Status.FAILED: "bold red",
    Status.BY_HAND: "cyan",
}
_ALWAYS = (Status.OK, Status.WARN, Status.FAILED)

Play = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--inventory",
        metavar="STORE PRODUCT",
        help="Instead, reserve and release this product to see which rules the inventory keeps.",
    ),
]


Production = Annotated[
    bool,
    typer.Option(
        "--production", help="Instead, go through the production checklist of docs/deploy.md."
    ),
]


def doctor(inventory: Play = None, production: Production = False, as_json: AsJson = False) -> None:
    """Check every dependency; show problems and fixes.

    Exits 1 if a check fails; warnings alone exit 0.
    """
    settings = load_settings()
    if production:
        healthy = _show("line", examine_production(settings), as_json=as_json)
        raise typer.Exit(0 if healthy else 1)
    if inventory is not None:
        healthy = _show("rule", play(settings, *inventory), as_json=as_json)
    else:
        healthy = _show("part", checks.examine(settings), as_json=as_json)
    raise typer.Exit(0 if healthy else 1)


def _show(title: str, results: list[CheckResult], *, as_json: bool) -> bool:
    """Prints the results, each about what the title says; whether none is a failure."""
    counts = [(state, sum(one.state is state for one in results)) for state in STYLES]
    healthy = not any(one.state is Status.FAILED for one in results)
    show(
        {"ok": healthy, "checks": results},
        Table(
            results,
            (title, lambda one: one.part),
            ("state", lambda one: Text(one.state, STYLES[one.state])),
            (Column("what", prose=True), lambda one: one.what),
            (Column("what to do", prose=True), lambda one: one.advice),
        ),
        ", ".join(f"{count} {state}" for state, count in counts if count or state in _ALWAYS),
        as_json=as_json,
    )
    return healthy
