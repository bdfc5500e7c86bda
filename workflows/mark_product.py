"""Mark a product's availability in all carts that have it, page by page."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.scans import ScanActivities
    from models.mark_product import MarkPage, MarkProductInput, MarkRunner
    from models.runners import Share
    from workflows import ids, policies
    from workflows.runners import ended_of, page_through


@workflow.defn(name=ids.MARK_PRODUCT)
class MarkProductWorkflow:
    """Several runners page through the carts, each through its own buckets; each cart is marked by
    a saga of its own."""

    @workflow.init
    def __init__(self, request: MarkProductInput) -> None:
        self._runners = list(request.runners) or [MarkRunner()] * policies.RUNNERS
        self._request = request.model_copy(update={"runners": ()})

    @workflow.run
    async def run(self, request: MarkProductInput) -> int:
        """Returns how many carts were marked."""
        if not await page_through(self._runners, self._next_page, self._show):
            workflow.continue_as_new(
                self._request.model_copy(update={"runners": tuple(self._runners)})
            )
        return self._marked

    async def _next_page(self, number: int, runner: MarkRunner) -> MarkRunner:
        page = await workflow.execute_activity_method(
            ScanActivities.mark_page,
            MarkPage(
                request=self._request,
                share=Share(runner=number, runners=len(self._runners)),
                after=runner.after,
            ),
            **policies.CARTS_PAGE,
        )
        return MarkRunner(
            after=page.after,
            looked_at=runner.looked_at + page.looked_at,
            marked=runner.marked + page.marked,
            ended=page.after is None,
        )

    @property
    def _marked(self) -> int:
        return sum(runner.marked for runner in self._runners)

    def _show(self) -> None:
        news, where = self._request.news, self._request.store_id or "all stores"
        looked_at = sum(runner.looked_at for runner in self._runners)
        workflow.set_current_details(
            f"{news.product_id} in {where} is {news.status} since {news.at:%Y-%m-%d %H:%M:%S} UTC: "
            f"{self._marked} carts marked, {looked_at} looked at; {ended_of(self._runners)}"
        )
