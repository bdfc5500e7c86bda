"""`cart reconcile`: compares what the systems know of each cart, and repairs it with `--fix`."""

from functools import partial
from typing import Annotated

import typer
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import WorkflowAlreadyStartedError

from adapters.mongo.findings import FindingStore
from cli.audit import audited
from cli.console import CliError, ExitCode, show, warn
from cli.ops.connections import connected
from cli.options import AsJson, By, OnlyStore, operator
from cli.tables import Column, Table
from models.actor import Actor, ActorType
from models.upkeep.reconcile import DEFAULT_LIMIT, Finding, ReconcileInput, Report
from ops.connections import Connections
from ops.words import brief


@connected
async def reconcile(
    connections: Connections,
    store: OnlyStore = None,
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what is found.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=2000, help="Most carts to report or repair.")
    ] = DEFAULT_LIMIT,
    by: By = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Compare carts with holds, pending effects and cache; --fix repairs.

    Exits 1 when there is drift that was not repaired.
    """
    pages = connections.pages
    try:
        actor = Actor(type=ActorType.OPERATOR, id=operator(by))
        request = ReconcileInput(store_id=store, fix=fix, limit=limit, actor=actor)
        starting = partial(connections.gateway.reconcile, request)
        started = await connections.need("temporal", starting)
        page = pages.workflow(started.id, started.first_execution_run_id)
        warn(f"it continues when this command is stopped: {page}")
        report = await started.result()
        findings = await FindingStore().of_run(started.first_execution_run_id or "")
    except WorkflowAlreadyStartedError as error:
        raise CliError(f"already running: {pages.workflow(error.workflow_id)}") from None
    except WorkflowFailureError as error:
        raise CliError(f"reconcile failed: {brief(str(error.cause))}") from None
    if fix:
        repaired = report.drifts - report.left
        await audited(
            connections.gateway,
            "reconcile_fix",
            by=actor.id,
            count=repaired,
            storeId=store,
            carts=report.drifting,
        )
    as_dict = report.model_dump(mode="json")
    as_dict["findings"] = [finding.model_dump(mode="json") for finding in findings]
    show(as_dict, *_parts(report, findings), as_json=as_json)
    return ExitCode.PROBLEM if report.left else ExitCode.OK


def _parts(report: Report, findings: list[Finding]) -> list[Table | str]:
    table = Table(
        findings,
        ("store", lambda found: found.store_id),
        ("user", lambda found: found.user_id),
        ("drift", lambda found: found.drift.kind),
        ("product or effect", lambda found: found.drift.product_id or found.drift.effect_id),
        (Column("what", prose=True, spare=2), lambda found: brief(found.drift.detail)),
        (Column("done", prose=True, spare=1), lambda found: found.drift.done),
    )
    parts: list[Table | str] = [table] if findings else []
    parts.append(
        f"{report.carts} carts of {report.stores} stores compared, {report.suspected} looked at "
        f"again under their locks, {report.busy} of them busy: {report.drifts} drifts"
    )
    if report.capped:
        parts.append("Stopped at the limit: there may be more.")
    if not report.fix and report.drifts:
        parts.append("Nothing was changed: `--fix` repairs it.")
    return parts
