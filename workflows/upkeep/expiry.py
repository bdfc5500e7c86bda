"""Clear carts that have not changed for `CART_EXPIRY_DAYS`, so that they release their stock.

Several runners page through the carts side by side, each through its own buckets. A page clears its
carts in MongoDB (`activities.upkeep.expiry`); the relays then release their units.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.expiry import ExpiryActivities
    from models.runners import Share
    from models.upkeep.expiry import ExpiryInput, ExpiryPage, ExpiryResult, ExpiryRunner
    from workflows import ids, policies
    from workflows.runners import ended_of, page_through


@workflow.defn(name=ids.EXPIRY)
class ExpiryWorkflow:
    """One pass. Carts that cannot be cleared are left to the next."""

    @workflow.init
    def __init__(self, expiry: ExpiryInput) -> None:
        self._before = expiry.before or workflow.info().workflow_start_time
        self._runners = list(expiry.runners) or [ExpiryRunner()] * policies.RUNNERS

    @workflow.run
    async def run(self, expiry: ExpiryInput) -> ExpiryResult:
        """Returns how many carts were cleared, and how many were left."""
        if not await page_through(self._runners, self._next_page, self._show):
            workflow.continue_as_new(ExpiryInput(before=self._before, runners=tuple(self._runners)))
        return ExpiryResult(cleared=self._cleared, left=self._left)

    async def _next_page(self, number: int, runner: ExpiryRunner) -> ExpiryRunner:
        page = await workflow.execute_activity_method(
            ExpiryActivities.expire_page,
            ExpiryPage(
                before=self._before,
                at=workflow.now(),
                share=Share(runner=number, runners=len(self._runners)),
                left=runner.left,
                limit=policies.EXPIRY_PAGE,
            ),
            **policies.CARTS_PAGE,
        )
        left = (*runner.left, *page.left)
        return ExpiryRunner(
            cleared=runner.cleared + page.cleared,
            left=left,
            ended=not page.more or len(left) >= policies.EXPIRY_MOST_LEFT,
        )

    @property
    def _cleared(self) -> int:
        return sum(runner.cleared for runner in self._runners)

    @property
    def _left(self) -> int:
        return sum(len(runner.left) for runner in self._runners)

    def _show(self) -> None:
        workflow.set_current_details(
            f"carts that expired by {self._before:%Y-%m-%d %H:%M:%S} UTC: {self._cleared} cleared, "
            f"{self._left} left to the next pass; {ended_of(self._runners)}"
        )
