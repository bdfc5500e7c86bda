"""`cart reconcile`: compares carts, holds, pending effects and cache, and repairs if told to."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, OnlyStore
from models.repair import DEFAULT_LIMIT

if TYPE_CHECKING:
    from models.repair import ReconcileInput, Report
    from settings import Settings


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
    import asyncio  # noqa: PLC0415

    from cli.console import print_json  # noqa: PLC0415
    from models.repair import ReconcileInput  # noqa: PLC0415
    from settings import load_settings  # noqa: PLC0415

    request = ReconcileInput(store_id=store, fix=fix, limit=limit)
    report = asyncio.run(_run(load_settings(), request))
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        _show(report)
    if any(finding.drift.done is None for finding in report.findings):
        sys.exit(1)


async def _run(settings: "Settings", request: "ReconcileInput") -> "Report":
    """Starts the workflow and waits for its end, however long it takes."""
    from temporalio.client import WorkflowFailureError  # noqa: PLC0415
    from temporalio.exceptions import WorkflowAlreadyStartedError  # noqa: PLC0415
    from temporalio.service import RPCError  # noqa: PLC0415

    from cli.console import CliError, reason  # noqa: PLC0415
    from cli.temporal import workflow_page  # noqa: PLC0415
    from models.errors import DependencyUnavailable  # noqa: PLC0415
    from workflows.gateway import CartGateway, connect  # noqa: PLC0415

    try:
        client = await connect(settings)
        gateway = CartGateway(
            client,
            task_queue=settings.temporal_task_queue,
            lock_wait_seconds=settings.cart_lock_wait_seconds,
        )
        run = await gateway.reconcile(request)
        page = workflow_page(settings, client.namespace, run.id, run.first_execution_run_id)
        print(f"it goes on when this command is stopped: {page}", file=sys.stderr)
        return await run.result()
    except WorkflowAlreadyStartedError as error:
        page = workflow_page(settings, client.namespace, error.workflow_id)
        raise CliError(f"one is running: {page}") from None
    except WorkflowFailureError as error:
        raise CliError(f"the reconciling failed: {error.cause}") from None
    except (DependencyUnavailable, RPCError, RuntimeError) as error:
        raise CliError(f"Temporal does not answer: {reason(error)}; see cart doctor") from None


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
