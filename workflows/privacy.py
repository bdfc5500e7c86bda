"""Erase a user's data from every system."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.privacy import PrivacyActivities
    from models.privacy import Erased, EraseInput, EraseRun, UserData
    from workflows import ids, policies

PASSES = 10
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(seconds=30)


@workflow.defn(name=ids.ERASE)
class ErasePersonalDataWorkflow:
    """Clear the user's carts, wait until their effects are done, then delete histories, records and
    cached values; again, until nothing is found any more.

    A user who is still active leaves new data: close the account first. What is left after
    `PASSES` is in the result.
    """

    @workflow.run
    async def run(self, request: EraseInput) -> Erased:
        """Returns what was erased, and what is left."""
        if not request.pseudonym:
            request = request.model_copy(update={"pseudonym": f"erased-{workflow.uuid4().hex}"})
        done = Erased()
        pause = FIRST_PAUSE
        for _ in range(PASSES):
            done = await self._pass(request, done)
            if done.left.total == 0:
                break
            self._show(done, "looking again")
            await workflow.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        self._show(done, "ended")
        return done

    async def _pass(self, request: EraseInput, done: Erased) -> Erased:
        run = EraseRun(request=request, run=workflow.info().workflow_id)
        carts = await workflow.execute_activity_method(
            PrivacyActivities.erase_carts, run, **policies.ERASE
        )
        await self._until_effects_are_done(request, done)
        histories = await workflow.execute_activity_method(
            PrivacyActivities.erase_histories,
            request,
            **policies.ERASE,
        )
        records = await workflow.execute_activity_method(
            PrivacyActivities.erase_records,
            request,
            **policies.ERASE,
        )
        cached = await workflow.execute_activity_method(
            PrivacyActivities.erase_cached,
            request,
            **policies.ERASE,
        )
        return Erased(
            carts=done.carts + carts,
            records=done.records + records,
            cached=done.cached + cached,
            histories=max(done.histories, histories),  # a deleted one is listed for some seconds
            left=await self._count(request),
        )

    async def _until_effects_are_done(self, request: EraseInput, done: Erased) -> None:
        """Releases and events of the user's operations need the user."""
        pause = FIRST_PAUSE
        while (left := await self._count(request)).pending:
            self._show(done, f"waiting for the effects of {left.pending} operations")
            await workflow.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _count(self, request: EraseInput) -> UserData:
        return await workflow.execute_activity_method(
            PrivacyActivities.count, request, **policies.ERASE
        )

    @staticmethod
    def _show(done: Erased, text: str) -> None:
        counts = {name: count for name, count in done.model_dump().items() if name != "left"}
        erased = ", ".join(f"{count} {name}" for name, count in counts.items())
        workflow.set_current_details(f"{erased} erased; {done.left.total} left; {text}")
