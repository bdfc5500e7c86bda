"""`cart ops list`, `show`, `wait` and `abort`."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer
from rich.text import Text

from cli.audit import audited
from cli.console import CliError, ExitCode, output, print_parts, show
from cli.ops.connections import connected, with_connections
from cli.ops.filter_options import filtered
from cli.ops.views import end_table, report_page, saga_table
from cli.options import AsJson, By, Confirm, DryRun, Watch, Why, confirmed, operator
from cli.tables import Table
from models.outcomes import Outcome
from ops import listing, signals
from ops.connections import Connections
from ops.filters import RunState, SagaFilter, SagaQuery
from ops.report import collect
from ops.sagas import (
    SagaEnd,
    SagaSummary,
    find_saga,
    find_sagas,
    wait_for_end,
)
from workflows import ids

commands = typer.Typer()
WAIT_SECONDS = 60.0
ABORT_SECONDS = 30.0
MANY_MAX = 500
# The cart is as the operation wanted it.
AS_ASKED = {Outcome.COMMITTED, Outcome.REPLAYED, Outcome.UNCHANGED}
UNDONE = {Outcome.ABORTED, RunState.CANCELED}

SagaName = Annotated[
    str,
    typer.Argument(
        metavar="SAGA",
        help="STORE/USER (the cart's latest), or the id of a run, operation or saga.",
    ),
]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for the end.")]


@commands.command("list")
@filtered
@connected
async def list_sagas(
    connections: Connections,
    *,
    which: SagaQuery,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most sagas to list.")] = 20,
    as_json: AsJson = False,
    watch: Watch = False,
) -> None:
    """List sagas, the latest first."""
    now = datetime.now(UTC)
    found = await listing.list_sagas(connections, which, limit=limit, now=now)
    show(
        found.as_dict(now) | {"unasked": connections.unasked},
        *([saga_table(found.sagas, now)] if found.sagas else []),
        f"{len(found.sagas)} of {found.count} sagas; in the Web UI: {found.url}",
        as_json=as_json,
        clear=watch,
    )


@commands.command("show")
@connected
async def show_saga(
    connections: Connections, saga: SagaName, *, as_json: AsJson = False, watch: Watch = False
) -> None:
    """Show a saga: what it did to each line, its steps, cart, reservations and pending effects, and
    what to do next. Of a cart also its latest changes."""
    report = await collect(connections, saga)
    show(report.as_dict(), *report_page(report), as_json=as_json, clear=watch)


@commands.command()
@connected
async def wait(
    connections: Connections,
    saga: SagaName,
    *,
    timeout: Timeout = WAIT_SECONDS,
    as_json: AsJson = False,
) -> ExitCode:
    """Wait for a saga's end; exits 0 when it committed, 5 when it ended otherwise, 4 when it has
    not ended in time."""
    found = await find_saga(connections, saga)
    end = await wait_for_end(connections, found, seconds=timeout)
    _show_ends([end], as_json=as_json)
    if end.state is RunState.RUNNING:
        return ExitCode.NOT_YET
    return ExitCode.OK if end.state in AS_ASKED else ExitCode.OTHERWISE


@commands.command()
@filtered
def abort(
    saga: Annotated[
        str | None,
        typer.Argument(metavar="SAGA", help="One saga, as for `show`; or give a filter."),
    ] = None,
    *,
    which: SagaFilter,
    reason: Why,
    by: By = None,
    timeout: Timeout = ABORT_SECONDS,
    dry_run: DryRun = False,
    confirm: Confirm = None,
    as_json: AsJson = False,
) -> None:
    """Undo one running saga, or all that a filter finds, and wait for the end.

    A saga that has committed is not undone: this exits 5. A saga in the middle of a step reacts
    after some seconds.
    """
    who = operator(by)
    if (saga is None) is (which == SagaFilter()):
        raise CliError("name one saga, or give a filter, not both", exit_code=ExitCode.USAGE)

    async def work(connections: Connections) -> ExitCode:
        now = datetime.now(UTC)
        if saga:
            targets = [await find_saga(connections, saga)]
        else:
            query = SagaQuery(**vars(which), outcome=RunState.RUNNING).query(now)
            finding = partial(find_sagas, connections, query, limit=MANY_MAX)
            targets = await connections.need("temporal", finding)
        if dry_run or not targets:
            shown = {"count": len(targets), "sagas": [target.as_dict(now) for target in targets]}
            show(shown, *_found(targets, now), as_json=as_json)
        if dry_run:
            return ExitCode.OK
        if saga is None:
            if targets and confirm is None:
                print_parts(output(errors=as_json), *_found(targets, now))
            if not confirmed("abort", len(targets), "sagas", confirm):
                return ExitCode.NOT_CONFIRMED
        if not targets:
            return ExitCode.OK
        ends = await asyncio.gather(
            *(
                signals.abort(connections, target, reason=reason, by=who, seconds=timeout)
                for target in targets
            )
        )
        await audited(
            connections.gateway,
            "ops_abort",
            by=who,
            count=len(ends),
            reason=reason,
            runIds=[end.saga.run_id for end in ends],
        )
        _show_ends(ends, as_json=as_json, action=ids.ABORT, by=who, reason=reason)
        return _exit_code_of(ends)

    with_connections(work)


def _exit_code_of(ends: Sequence[SagaEnd]) -> ExitCode:
    if any(end.state is RunState.RUNNING for end in ends):
        return ExitCode.NOT_YET
    aborted = all(end.state in UNDONE for end in ends)
    return ExitCode.OK if aborted else ExitCode.OTHERWISE


def _found(targets: Sequence[SagaSummary], now: datetime) -> list[Table | Text | str]:
    return [saga_table(targets, now), f"{len(targets)} sagas"]


def _show_ends(ends: Sequence[SagaEnd], *, as_json: bool, **action: str) -> None:
    """Each saga with its end; `action` is what was done, by whom and why."""
    show(
        {**action, "sagas": [end.as_dict() for end in ends]},
        end_table(ends),
        *(end.saga.url for end in ends),
        as_json=as_json,
    )
