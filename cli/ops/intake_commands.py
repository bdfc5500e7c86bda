"""`cart ops hold-intake` and `release-intake`: turn a store's changes away, and take them again."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.ops.exits import Exit
from cli.ops.options import AsJson, By, Reason, operator

if TYPE_CHECKING:
    from cli.ops.desk import Desk
    from models.intake import IntakeHold

RETRY_AFTER = 30

Store = Annotated[str, typer.Option(help="The store's id.")]


def register(group: typer.Typer) -> None:
    """Adds the commands of this module."""
    group.command("hold-intake")(hold_intake)
    group.command("release-intake")(release_intake)


def hold_intake(
    *,
    store: Store,
    reason: Reason,
    by: By = None,
    retry_after: Annotated[
        int, typer.Option(min=1, max=86_400, help="Seconds that clients are told to wait.")
    ] = RETRY_AFTER,
    as_json: AsJson = False,
) -> None:
    """Answer a store's writes with 503 and Retry-After from now on; reads go on.

    Every API process obeys within two seconds. Sagas that run already, orders and relays go on.
    """
    from cli.ops.desk import at_desk  # noqa: PLC0415
    from cli.ops.sagas import quoted  # noqa: PLC0415

    quoted(store)  # an id that no store can have is a mistake
    who = operator(by)

    async def work(desk: "Desk") -> Exit:
        from datetime import UTC, datetime  # noqa: PLC0415

        from models.intake import IntakeHold  # noqa: PLC0415

        hold = await desk.intake.hold(
            IntakeHold(
                store_id=store,
                by=who,
                reason=reason,
                at=datetime.now(UTC),
                retry_after_seconds=retry_after,
            )
        )
        _show(hold, "held", as_json=as_json)
        return Exit.OK

    at_desk(work)


def release_intake(
    *,
    store: Store,
    reason: Annotated[str, typer.Option(help="Why; it is kept.")] = "",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Take a store's writes again; exits 3 when they were not held."""
    from cli.console import CliError  # noqa: PLC0415
    from cli.ops.desk import at_desk  # noqa: PLC0415

    who = operator(by)

    async def work(desk: "Desk") -> Exit:
        from datetime import UTC, datetime  # noqa: PLC0415

        hold = await desk.intake.release(store, by=who, reason=reason, at=datetime.now(UTC))
        if hold is None:
            raise CliError(f"store {store} is not held", exit_code=Exit.NOT_FOUND)
        _show(hold, "released", as_json=as_json)
        return Exit.OK

    at_desk(work)


def _show(hold: "IntakeHold", state: str, *, as_json: bool) -> None:
    from cli.console import print_json  # noqa: PLC0415

    if as_json:
        print_json(
            {
                "state": state,
                "storeId": hold.store_id,
                "by": hold.by,
                "reason": hold.reason,
                "at": hold.at,
                "retryAfterSeconds": hold.retry_after_seconds,
                "releasedBy": hold.released_by,
                "releasedAt": hold.released_at,
            }
        )
        return
    print(
        f"store {hold.store_id} {state}: since {hold.at:%Y-%m-%d %H:%M:%S} UTC by {hold.by}, "
        f"{hold.reason}"
    )
