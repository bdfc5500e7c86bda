"""`cart ops list`, `show`, `wait` and `abort`."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.ops.exits import Exit
from cli.ops.options import (
    AsJson,
    By,
    Confirm,
    DryRun,
    Reason,
    Saga,
    Timeout,
    Watch,
    age,
    operator,
)

if TYPE_CHECKING:
    from cli.ops.desk import Desk
    from cli.ops.ends import Ended
    from cli.ops.sagas import Saga as FoundSaga
    from cli.ops.sagas import SagaFilter

WAIT_SECONDS = 60.0
ABORT_SECONDS = 30.0
MANY_MAX = 500

Store = Annotated[str | None, typer.Option(help="Of this store.")]
User = Annotated[str | None, typer.Option(help="Of this user.")]
Product = Annotated[str | None, typer.Option(help="About this product.")]
Operation = Annotated[
    str | None, typer.Option(help="AddItem, UpdateQuantity, RemoveItem, ClearCart, …")
]
Outcome = Annotated[
    str | None,
    typer.Option(
        help="committed, rejected, aborted, replayed, unchanged, running or failed.",
        autocompletion=lambda: [*OUTCOMES],
    ),
]
Order = Annotated[str | None, typer.Option(help="Brought about by this order.")]
Attention = Annotated[bool, typer.Option("--attention", help="Only what needs attention.")]
OlderThan = Annotated[str | None, typer.Option(help="Started so long ago or longer: 90s, 5m, 2h.")]
NewerThan = Annotated[str | None, typer.Option(help="Started within this time.")]

OUTCOMES = ("committed", "rejected", "aborted", "replayed", "unchanged", "running", "failed")


def register(group: typer.Typer) -> None:
    """Adds the commands of this module."""
    group.command("list")(list_sagas)
    group.command("show")(show)
    group.command("wait")(wait)
    group.command("abort")(abort)


def list_sagas(
    *,
    store: Store = None,
    user: User = None,
    product: Product = None,
    operation: Operation = None,
    outcome: Outcome = None,
    order: Order = None,
    attention: Attention = False,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
    watch: Watch = False,
) -> None:
    """List sagas, the latest first."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from cli.console import output, print_json  # noqa: PLC0415
    from cli.ops.desk import at_desk  # noqa: PLC0415
    from cli.ops.sagas import count_sagas, find_sagas  # noqa: PLC0415
    from cli.ops.tables import saga_table  # noqa: PLC0415

    where = _filter(
        store=store,
        user=user,
        product=product,
        operation=operation,
        outcome=outcome,
        order=order,
        attention=attention,
        older_than=older_than,
        newer_than=newer_than,
    )

    async def work(desk: "Desk") -> Exit:
        now = datetime.now(UTC)
        query = where.query(now)
        sagas = await find_sagas(desk, query, limit=limit)
        count = len(sagas) if len(sagas) < limit else await count_sagas(desk, query)
        if as_json:
            print_json(
                {
                    "count": count,
                    "query": query,
                    "url": desk.pages.query(query),
                    "sagas": [saga.as_dict(now) for saga in sagas],
                }
            )
            return Exit.OK
        console = output()
        if watch:
            console.clear()
        console.print(saga_table(sagas, now))
        console.print(
            f"{len(sagas)} of {count} sagas; in the Web UI:",
            desk.pages.query(query),
            soft_wrap=True,
        )
        return Exit.OK

    at_desk(work, watch=watch)


def show(saga: Saga, *, as_json: AsJson = False, watch: Watch = False) -> None:
    """Show a saga: steps with times, cart and holds, what is pending, what to do next."""
    from cli.console import output, print_json  # noqa: PLC0415
    from cli.ops.desk import at_desk  # noqa: PLC0415
    from cli.ops.dossier import collect  # noqa: PLC0415
    from cli.ops.sagas import find_saga  # noqa: PLC0415
    from cli.ops.tables import print_dossier  # noqa: PLC0415

    async def work(desk: "Desk") -> Exit:
        dossier = await collect(desk, await find_saga(desk, saga))
        if as_json:
            print_json(dossier.as_dict())
            return Exit.OK
        console = output()
        if watch:
            console.clear()
        print_dossier(console, dossier)
        return Exit.OK

    at_desk(work, watch=watch)


def wait(saga: Saga, *, timeout: Timeout = WAIT_SECONDS, as_json: AsJson = False) -> None:
    """Wait for a saga's end; exits 0 when it has committed, 5 when it ended otherwise, 4 when it
    has not ended in time."""
    from cli.ops.desk import at_desk  # noqa: PLC0415
    from cli.ops.ends import print_ends, wait_for_end  # noqa: PLC0415
    from cli.ops.sagas import find_saga  # noqa: PLC0415

    async def work(desk: "Desk") -> Exit:
        ended = await wait_for_end(desk, await find_saga(desk, saga), seconds=timeout)
        print_ends([ended], as_json=as_json)
        if ended.running:
            return Exit.NOT_YET
        return Exit.OK if ended.changed_as_asked else Exit.OTHERWISE

    at_desk(work)


def abort(
    saga: Annotated[
        str | None,
        typer.Argument(metavar="[SAGA]", help="One saga, as for `show`; or give a filter."),
    ] = None,
    *,
    reason: Reason,
    by: By = None,
    timeout: Timeout = ABORT_SECONDS,
    store: Store = None,
    user: User = None,
    product: Product = None,
    operation: Operation = None,
    older_than: OlderThan = None,
    attention: Attention = False,
    dry_run: DryRun = False,
    confirm: Confirm = None,
    as_json: AsJson = False,
) -> None:
    """Ask for the undo of one running saga, or of all that a filter finds, and wait for the end.

    A saga that has committed is not undone: this exits 5. Inside a step it hears of it after some
    seconds.
    """
    from cli.console import CliError  # noqa: PLC0415
    from cli.ops.desk import at_desk  # noqa: PLC0415

    who = operator(by)
    where = _filter(
        store=store,
        user=user,
        product=product,
        operation=operation,
        outcome="running",
        attention=attention,
        older_than=older_than,
    )
    filtered = any((store, user, product, operation, attention, older_than))
    if (saga is None) is not filtered:
        raise CliError("name one saga, or give a filter, not both", exit_code=Exit.USAGE)

    async def work(desk: "Desk") -> Exit:
        from cli.ops.many import agreed  # noqa: PLC0415
        from cli.ops.sagas import find_saga  # noqa: PLC0415

        sagas = [await find_saga(desk, saga)] if saga else await _running(desk, where)
        if not sagas or dry_run or (saga is None and confirm is None):
            _show_targets(sagas, as_json=as_json and (dry_run or not sagas))
        if dry_run:
            return Exit.OK
        if saga is None and not agreed("abort", len(sagas), "sagas", confirm):
            return Exit.NOT_CONFIRMED
        if not sagas:
            return Exit.OK
        return await _abort(desk, sagas, reason, who, timeout, as_json=as_json)

    at_desk(work)


async def _abort(
    desk: "Desk",
    sagas: "list[FoundSaga]",
    reason: str,
    by: str,
    timeout: float,
    *,
    as_json: bool,
) -> Exit:
    from cli.ops.ends import print_ends, wait_for_end  # noqa: PLC0415

    async def one(saga: "FoundSaga") -> "Ended":
        with suppress(KeyError):  # it has ended meanwhile, and that is told
            await desk.gateway.abort(saga.workflow_id, saga.run_id, reason=reason, by=by)
        return await wait_for_end(desk, saga, seconds=timeout)

    ends = await asyncio.gather(*(one(saga) for saga in sagas))
    print_ends(ends, as_json=as_json, action="abort", by=by, reason=reason)
    if any(ended.running for ended in ends):
        return Exit.NOT_YET
    return Exit.OK if all(ended.outcome == "aborted" for ended in ends) else Exit.OTHERWISE


async def _running(desk: "Desk", where: "SagaFilter") -> "list[FoundSaga]":
    from datetime import UTC, datetime  # noqa: PLC0415

    from cli.ops.sagas import find_sagas  # noqa: PLC0415

    return await find_sagas(desk, where.query(datetime.now(UTC)), limit=MANY_MAX)


def _show_targets(sagas: "list[FoundSaga]", *, as_json: bool) -> None:
    from datetime import UTC, datetime  # noqa: PLC0415

    from cli.console import output, print_json  # noqa: PLC0415
    from cli.ops.tables import saga_table  # noqa: PLC0415

    now = datetime.now(UTC)
    if as_json:
        print_json({"count": len(sagas), "sagas": [saga.as_dict(now) for saga in sagas]})
        return
    console = output()
    console.print(saga_table(sagas, now))
    console.print(f"{len(sagas)} sagas")


def _filter(
    *,
    outcome: str | None,
    older_than: str | None,
    newer_than: str | None = None,
    **exact: Any,
) -> "SagaFilter":
    from cli.ops.sagas import End, SagaFilter  # noqa: PLC0415

    if outcome is not None and outcome not in OUTCOMES:
        raise typer.BadParameter(f"--outcome must be one of {', '.join(OUTCOMES)}")
    return SagaFilter(
        outcome=End(outcome) if outcome else None,
        older_than=age(older_than),
        newer_than=age(newer_than),
        **exact,
    )
