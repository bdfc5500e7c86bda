"""`cart ops hold-intake` and `release-intake`: refuse a store's changes, and accept them again."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer

from cli.audit import audited
from cli.console import CliError, ExitCode, show
from cli.ops.connections import connected
from cli.options import AsJson, By, StoreName, Why, operator
from models.intake import RETRY_AFTER_SECONDS, IntakeHold
from ops.connections import Connections
from ops.times import stamp

commands = typer.Typer()
_NOT_SHOWN = {"id", "revision_id", "active", "released_because"}


@commands.command()
@connected
async def hold_intake(
    connections: Connections,
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
    hold = IntakeHold(
        store_id=store,
        by=operator(by),
        reason=reason,
        at=datetime.now(UTC),
        retry_after_seconds=retry_after,
    )
    held = await connections.need("mongodb", partial(connections.intake.hold, hold))
    await audited(
        connections.gateway, "ops_hold_intake", by=hold.by, count=1, reason=reason, storeId=store
    )
    _show(held, "held", as_json=as_json)


@commands.command()
@connected
async def release_intake(
    connections: Connections,
    *,
    store: StoreName,
    reason: Why = "",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Accept a store's writes again; exits 3 when they were not held."""
    release = partial(connections.intake.release, store, by=operator(by), reason=reason)
    hold = await connections.need("mongodb", partial(release, at=datetime.now(UTC)))
    if hold is None:
        raise CliError(f"store {store} is not held", exit_code=ExitCode.NOT_FOUND)
    await audited(
        connections.gateway,
        "ops_release_intake",
        by=operator(by),
        count=1,
        reason=reason,
        storeId=store,
    )
    _show(hold, "released", as_json=as_json)


def _show(hold: IntakeHold, state: str, *, as_json: bool) -> None:
    paused = f"paused since {stamp(hold.at)} by {hold.by}: {hold.reason}"
    show(
        {"state": state} | hold.model_dump(by_alias=True, exclude=_NOT_SHOWN),
        f"Changes of store {hold.store_id} are "
        + (paused if hold.active else f"accepted again; they were {paused}"),
        as_json=as_json,
    )
