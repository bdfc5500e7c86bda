"""Compare carts, reservations, pending effects and cache, page by page, and repair drift.

Several runners share the stores out. The comparison takes no locks, so a difference is only a
suspicion. A saga of its own (`workflows.repair_cart`) looks at each suspect again under the cart's
lock. What it finds is stored (`models.upkeep.findings`); the result has only counts.
"""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.reconcile import ReconcileActivities
    from models.runners import Share
    from models.upkeep.reconcile import (
        ReconciledPage,
        ReconcileInput,
        ReconcilePage,
        ReconcileRunner,
        Report,
    )
    from workflows import ids, policies
    from workflows.runners import ended_of, page_through

STUCK_AFTER = timedelta(minutes=5)
"""An effect that has been pending for longer is reported. The sweep wakes its relay after 10 s."""

COUNTED = ("stores", "carts", "suspected", "busy", "drifting", "drifts", "left")


@workflow.defn(name=ids.RECONCILE)
class ReconcileWorkflow:
    """One run over the carts of a store, or of all stores."""

    @workflow.init
    def __init__(self, request: ReconcileInput) -> None:
        self._request = request
        self._report = request.report or Report(fix=request.fix)
        # A store is compared in the order of its users, so it is one runner's.
        runners = policies.RUNNERS if request.store_id is None else 1
        self._runners = list(request.runners) or [ReconcileRunner()] * runners
        self._stuck_before = workflow.info().workflow_start_time - STUCK_AFTER
        self._promised = 0  # carts that pages under way may report

    @workflow.run
    async def run(self, request: ReconcileInput) -> Report:
        """Returns how much was found, and how much is left to do."""
        if not await page_through(self._runners, self._next_page, self._show):
            workflow.continue_as_new(
                request.model_copy(update={"runners": tuple(self._runners), "report": self._report})
            )
        return self._report

    async def _next_page(self, number: int, runner: ReconcileRunner) -> ReconcileRunner:
        room = await self._room()
        if room == 0:
            self._report = self._report.model_copy(update={"capped": True})
            return runner.model_copy(update={"ended": True})
        self._promised += room
        try:
            page = await workflow.execute_activity_method(
                ReconcileActivities.reconcile_page,
                ReconcilePage(
                    store_id=self._request.store_id,
                    share=Share(runner=number, runners=len(self._runners)),
                    position=runner.position,
                    stuck_before=self._stuck_before,
                    run=workflow.info().first_execution_run_id,
                    reason=f"{ids.RECONCILE} {workflow.info().workflow_id}",
                    fix=self._request.fix,
                    room=room,
                    actor=self._request.actor,
                ),
                **policies.CARTS_PAGE,
            )
        finally:
            self._promised -= room
        self._count(page)
        return ReconcileRunner(position=page.next, ended=page.next is None)

    async def _room(self) -> int:
        """How many carts the next page may report, within the limit of the run."""

        def room() -> int:
            return self._request.limit - self._report.drifting - self._promised

        await workflow.wait_condition(lambda: room() > 0 or self._promised == 0)
        return min(room(), policies.RECONCILE_BATCH)

    def _count(self, page: ReconciledPage) -> None:
        now = {name: getattr(self._report, name) + getattr(page, name) for name in COUNTED}
        capped = self._report.capped or page.capped
        self._report = self._report.model_copy(update={**now, "capped": capped})

    def _show(self) -> None:
        report = self._report
        workflow.set_current_details(
            f"{'repairing' if report.fix else 'dry run'}: {report.carts} carts of {report.stores} "
            f"stores compared, {report.suspected} looked at again, {report.drifts} drifts, "
            f"{report.busy} busy; {ended_of(self._runners)}"
        )
