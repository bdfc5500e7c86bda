"""`cart ops ack`: take runs that failed or were terminated off `stuck`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.audit import audited
from cli.console import CliError, ExitCode, show
from cli.ops.connections import connected
from cli.ops.views import saga_table
from cli.options import AsJson, By, Confirm, DryRun, Why, confirmed, operator
from models.acknowledgement import REASON_CHARACTERS
from ops.connections import Connections
from ops.filters import STOPPED
from ops.sagas import SagaSummary, find_saga
from ops.signals import acknowledge, acknowledgeable
from ops.stuck import stuck_sagas

commands = typer.Typer()


@commands.command()
@connected
async def ack(
    connections: Connections,
    sagas: Annotated[
        list[str] | None, typer.Argument(metavar="SAGA", help="As for `show`.")
    ] = None,
    *,
    reason: Why,
    every: Annotated[
        bool, typer.Option("--all", help="All that failed or were terminated within a day.")
    ] = False,
    by: By = None,
    dry_run: DryRun = False,
    confirm: Confirm = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Acknowledge sagas that failed or were terminated: `stuck` and `list --attention` leave them
    out from then on, and `show` says who, when and why."""
    who, now = operator(by), datetime.now(UTC)
    if every == bool(sagas):
        raise CliError("name sagas, or give --all, not both", exit_code=ExitCode.USAGE)
    if max(len(reason), len(who)) > REASON_CHARACTERS:
        raise CliError(f"at most {REASON_CHARACTERS} characters", exit_code=ExitCode.USAGE)
    chosen = await _chosen(connections, sagas or [], now)
    if not dry_run:
        if every and not confirmed("acknowledge", len(chosen), "sagas", confirm):
            return ExitCode.NOT_CONFIRMED
        await acknowledge(connections, chosen, reason=reason, by=who, at=now)
        runs = [saga.run_id for saga in chosen]
        await audited(
            connections.gateway, "ops_ack", by=who, count=len(chosen), reason=reason, runIds=runs
        )
    show(
        {
            "by": who,
            "reason": reason,
            "sagas": [saga.as_dict(now) for saga in chosen],
            "done": not dry_run,
        },
        *([saga_table(chosen, now)] if chosen else []),
        f"{len(chosen)} {'would be ' if dry_run else ''}acknowledged",
        as_json=as_json,
    )
    return ExitCode.OK


async def _chosen(connections: Connections, names: list[str], now: datetime) -> list[SagaSummary]:
    """The named sagas, or without a name all that are stuck because they were stopped."""
    if not names:
        found = [saga for saga in await stuck_sagas(connections, now) if saga.state in STOPPED]
        connections.need_all()
        return found
    found = [await find_saga(connections, name) for name in names]
    return await acknowledgeable(connections, found)
