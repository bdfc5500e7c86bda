"""Compare carts, reservations, pending effects and cache, page by page, and repair drift.

The comparison takes no locks, so a difference is only a suspicion. A saga of its own
(`workflows.repair_cart`) looks at each suspect again under the cart's lock.
"""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.reconcile import ReconcileActivities
    from models.upkeep.reconcile import LookAgain, ReconcileInput, Report, ScanPage, Suspect
    from workflows import ids, policies

STUCK_AFTER = timedelta(minutes=5)
"""An effect that has been pending for longer is reported. The sweep wakes its relay after 10 s."""


@workflow.defn(name=ids.RECONCILE)
class ReconcileWorkflow:
    """One run over the carts of a store, or of all stores."""

    @workflow.init
    def __init__(self, request: ReconcileInput) -> None:
        self._request = request
        self._report = request.report or Report(fix=request.fix)
        self._stuck_before = workflow.info().workflow_start_time - STUCK_AFTER

    @workflow.run
    async def run(self, request: ReconcileInput) -> Report:
        """Returns what was found, and what was done about it."""
        position = request.position
        while True:
            page = await workflow.execute_activity_method(
                ReconcileActivities.scan,
                ScanPage(
                    store_id=request.store_id,
                    position=position,
                    stuck_before=self._stuck_before,
                ),
                **policies.CARTS_PAGE,
            )
            self._count(carts=page.carts, stores=page.stores, suspected=len(page.suspects))
            await self._look_again(page.suspects)
            position = page.next
            if position is None or self._report.capped:
                self._show("done")
                return self._report
            self._show(f"at {position.store_id}/{position.user_id}")
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(
                    request.model_copy(update={"position": position, "report": self._report})
                )

    async def _look_again(self, suspects: tuple[Suspect, ...]) -> None:
        while suspects:
            repaired = len({(one.store_id, one.user_id) for one in self._report.findings})
            room = min(self._request.limit - repaired, policies.RECONCILE_BATCH)
            if room <= 0:
                self._report = self._report.model_copy(update={"capped": True})
                return
            batch, suspects = suspects[:room], suspects[room:]
            looked = await workflow.execute_activity_method(
                ReconcileActivities.look_again,
                LookAgain(
                    suspects=batch,
                    name=workflow.info().first_execution_run_id,
                    reason=f"{ids.RECONCILE} {workflow.info().workflow_id}",
                    fix=self._request.fix,
                    stuck_before=self._stuck_before,
                ),
                **policies.CARTS_PAGE,
            )
            for finding in looked.findings:
                workflow.logger.warning(
                    "Drift: %s of %s/%s: %s",
                    finding.drift.kind,
                    finding.store_id,
                    finding.user_id,
                    finding.drift.detail,
                )
            found = (*self._report.findings, *looked.findings)
            self._report = self._report.model_copy(update={"findings": found})
            self._count(busy=looked.busy)

    def _count(self, **more: int) -> None:
        now = {name: getattr(self._report, name) + count for name, count in more.items()}
        self._report = self._report.model_copy(update=now)

    def _show(self, where: str) -> None:
        report = self._report
        workflow.set_current_details(
            f"{'repairing' if report.fix else 'dry run'}, {where}: {report.carts} carts compared, "
            f"{report.suspected} looked at again, {len(report.findings)} drifts, {report.busy} busy"
        )
