"""Mark a product's availability in all carts that have it, page by page."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.scans import ScanActivities
    from models.mark_product import MarkProductInput
    from workflows import ids, policies


@workflow.defn(name=ids.MARK_PRODUCT)
class MarkProductWorkflow:
    """Pages through the carts; each is marked by a saga of its own."""

    @workflow.run
    async def run(self, request: MarkProductInput) -> int:
        """Returns how many carts were marked."""
        while True:
            page = await workflow.execute_activity_method(
                ScanActivities.mark_page, request, **policies.CARTS_PAGE
            )
            request = request.model_copy(
                update={
                    "after": page.after,
                    "looked_at": request.looked_at + page.looked_at,
                    "marked": request.marked + page.marked,
                }
            )
            self._show(request)
            if page.after is None:
                return request.marked
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(request)

    def _show(self, request: MarkProductInput) -> None:
        where = request.store_id or "all stores"
        workflow.set_current_details(
            f"{request.news.product_id} in {where} is {request.news.status} since "
            f"{request.news.at:%Y-%m-%d %H:%M:%S} UTC: {request.marked} carts marked, "
            f"{request.looked_at} looked at" + (f", up to {request.after}" if request.after else "")
        )
