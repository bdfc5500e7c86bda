"""`cart ops hold-intake` and `release-intake`: refuse a store's changes, and accept them again."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.console import CliError, ExitCode, show
from cli.ops.connections import Connections, with_connections
from cli.options import AsJson, By, StoreName, Why, operator
from cli.times import stamp
from models.intake import RETRY_AFTER_SECONDS, IntakeHold

commands = typer.Typer()


@commands.command()
def hold_intake(
    *,
    store: StoreName,
    reason: Why,
    by: By = None,
    retry_after: Annotated[
        int, typer.Option(min=1, max=86_400, help="Retry-After in seconds.")
    ] = RETRY_AFTER_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Answer a store's writes with 503 and Retry-After; reads continue.

    Takes effect in every API process within two seconds. Running sagas, orders and relays continue.
    """
    who = operator(by)

    async def work(connections: Connections) -> ExitCode:
        hold = await connections.intake.hold(
            IntakeHold(
                store_id=store,
                by=who,
                reason=reason,
                at=datetime.now(UTC),
                retry_after_seconds=retry_after,
            )
        )
        _show(hold, "held", as_json=as_json)
        return ExitCode.OK

    with_connections(work)


@commands.command()
def release_intake(
    *, store: StoreName, reason: Why = "", by: By = None, as_json: AsJson = False
) -> None:
    """Accept a store's writes again; exits 3 when they were not held."""
    who = operator(by)

    async def work(connections: Connections) -> ExitCode:
        hold = await connections.intake.release(store, by=who, reason=reason, at=datetime.now(UTC))
        if hold is None:
            raise CliError(f"store {store} is not held", exit_code=ExitCode.NOT_FOUND)
        _show(hold, "released", as_json=as_json)
        return ExitCode.OK

    with_connections(work)


def _show(hold: IntakeHold, state: str, *, as_json: bool) -> None:
    paused = f"paused since {stamp(hold.at)} UTC by {hold.by}: {hold.reason}"
    show(
        {
            "state": state,
            "storeId": hold.store_id,
            "by": hold.by,
            "reason": hold.reason,
            "at": hold.at,
            "retryAfterSeconds": hold.retry_after_seconds,
            "releasedBy": hold.released_by,
            "releasedAt": hold.released_at,
        },
        f"Changes of store {hold.store_id} are "
        + (paused if hold.active else f"accepted again; they were {paused}"),
        as_json=as_json,
    )
