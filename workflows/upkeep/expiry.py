"""Clear carts that have not changed for `CART_EXPIRY_DAYS`, so that they release their stock.

Each cart is cleared by a saga of its own, which checks again under the cart's lock that the cart
has expired. This workflow only pages through the carts.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.upkeep.expiry import ExpiryActivities
    from models.upkeep.expiry import ExpiryInput, ExpiryPage, ExpiryResult
    from workflows import ids, policies


@workflow.defn(name=ids.EXPIRY)
class ExpiryWorkflow:
    """One pass. Carts that are busy or were changed meanwhile are left to the next."""

    @workflow.run
    async def run(self, expiry: ExpiryInput) -> ExpiryResult:
        """Returns how many carts were cleared, and how many were left."""
        before = expiry.before or workflow.info().workflow_start_time
        cleared, left = expiry.cleared, expiry.left
        while True:
            page = await workflow.execute_activity_method(
                ExpiryActivities.expire_page,
                ExpiryPage(before=before, left=left, limit=policies.EXPIRY_PAGE),
                **policies.CARTS_PAGE,
            )
            cleared, left = cleared + page.cleared, (*left, *page.left)
            workflow.set_current_details(
                f"carts that expired by {before:%Y-%m-%d %H:%M:%S} UTC: "
                f"{cleared} cleared, {len(left)} left to the next pass"
            )
            last = page.found < policies.EXPIRY_PAGE and page.undecided == 0
            if last or len(left) >= policies.EXPIRY_MOST_LEFT:
                return ExpiryResult(cleared=cleared, left=len(left))
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(ExpiryInput(before=before, left=left, cleared=cleared))
