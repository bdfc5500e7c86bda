"""`cart reconcile`: compares carts, holds, pending effects and cache, and repairs if told to."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli.ops.options import AsJson, OnlyStore
from models.upkeep.reconcile import DEFAULT_LIMIT

if TYPE_CHECKING:
    from models.upkeep.reconcile import Report


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command()(reconcile)


def reconcile(
    store: OnlyStore = None,
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what is found.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=2000, help="Most carts to report or repair.")
    ] = DEFAULT_LIMIT,
    as_json: AsJson = False,
) -> None:
    """Compare carts, holds, pending effects and cache; a dry run unless told to repair.

    Exit code 1 when there is drift that was not repaired.
    """
    from temporalio.client import WorkflowFailureError  # noqa: PLC0415
    from temporalio.exceptions import WorkflowAlreadyStartedError  # noqa: PLC0415

    from cli.console import CliError, print_json  # noqa: PLC0415
    from cli.ops.desk import Desk, at_desk  # noqa: PLC0415
    from cli.ops.exits import Exit  # noqa: PLC0415
    from models.upkeep.reconcile import ReconcileInput  # noqa: PLC0415

    async def run(desk: Desk) -> Exit:
        """However long it takes."""
        try:
            started = await desk.gateway.reconcile(
                ReconcileInput(store_id=store, fix=fix, limit=limit)
            )
            page = desk.pages.workflow(started.id, started.first_execution_run_id)
            print(f"it goes on when this command is stopped: {page}", file=sys.stderr)
            report = await started.result()
        except WorkflowAlreadyStartedError as error:
            raise CliError(f"one is running: {desk.pages.workflow(error.workflow_id)}") from None
        except WorkflowFailureError as error:
            raise CliError(f"the reconciling failed: {error.cause}") from None
        if as_json:
            print_json(report.model_dump(mode="json"))
        else:
            _show(report)
        left = any(finding.drift.done is None for finding in report.findings)
        return Exit.PROBLEM if left else Exit.OK

    at_desk(run)


def _show(report: "Report") -> None:
    from rich.table import Table  # noqa: PLC0415

    from cli.console import output  # noqa: PLC0415

    console = output()
    if report.findings:
        table = Table("store", "user", "drift", "product or effect", "what", "done")
        for finding in report.findings:
            drift = finding.drift
            table.add_row(
                finding.store_id,
                finding.user_id,
                drift.kind.value,
                drift.product_id or drift.effect_id or "",
                drift.detail,
                drift.done or "-",
            )
        console.print(table)
    console.print(
        f"{report.carts} carts of {report.stores} stores compared, {report.suspected} looked at "
        f"again under their locks, {report.busy} of them busy: {len(report.findings)} drifts"
    )
    if report.capped:
        console.print("It has stopped at its limit: there may be more.")
    if not report.fix and report.findings:
        console.print("Nothing was changed: `--fix` repairs it.")
