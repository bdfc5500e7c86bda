"""`cart ops ack`: take runs that failed or were terminated off `stuck`."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer

from cli.audit import audited
from cli.console import CliError, ExitCode, show
from cli.ops.connections import connected
from cli.ops.views import saga_table
from cli.options import AsJson, By, Confirm, DryRun, Why, confirmed, operator
from models.acknowledgement import REASON_CHARACTERS, Acknowledgement
from ops.connections import Connections
from ops.endings import explain
from ops.filters import STOPPED
from ops.sagas import SagaSummary, find_saga
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
        for saga in chosen:
            acknowledgement = Acknowledgement(
                _id=saga.run_id,
                store_id=saga.store_id,
                user_id=saga.user_id,
                by=who,
                reason=reason,
                at=now,
            )
            await connections.need(
                "mongodb", partial(connections.acknowledgements.add, acknowledgement)
            )
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
    sagas = await explain(connections, [await find_saga(connections, name) for name in names])
    for saga in sagas:
        if saga.state not in STOPPED:
            raise CliError(
                f"{saga.operation} on {saga.cart} is {saga.outcome}: only a saga that failed, "
                "timed out or was terminated can be acknowledged",
                exit_code=ExitCode.OTHERWISE,
            )
    return sagas
