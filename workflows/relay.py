"""Relays: what a saga could not do inline is done here, in the order of each cart, for ever.

A relay is a long-lived workflow for one shard of carts and one kind of effect. It is woken by
whoever left an effect pending, and ends when its shard has none.
"""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, is_cancelled_exception
from temporalio.workflow import ContinueAsNewVersioningBehavior

with workflow.unsafe.imports_passed_through():
    from activities.outbox import OutboxActivities
    from models.relays import RelayBatch, RelayInput, RelayProgress, SkipEffect
    from workflows import ids, policies
    from workflows.steering import note

_ATTENTION = SearchAttributeKey.for_bool(ids.ATTENTION)


@workflow.defn(name=ids.RELAY)
class RelayWorkflow:
    """Delivers a shard's pending effects; pauses between tries grow while something fails."""

    @workflow.init
    def __init__(self, relay: RelayInput) -> None:
        self._relay = relay
        self._paused = relay.paused
        self._paused_by = relay.paused_by
        self._failures = relay.failures
        self._failing_since: datetime | None = relay.failing_since
        self._last = RelayProgress(done=0, left=0)
        self._delivered = 0
        self._skips: list[SkipEffect] = []
        # What has been heard since the latest look at the shard began.
        self._woken = False
        self._steered = False

    @workflow.run
    async def run(self, relay: RelayInput) -> int:
        """Answers how many effects this run has delivered."""
        while True:
            self._woken = self._steered = False
            await self._skip()
            if _goes_on_anew():
                workflow.continue_as_new(
                    relay.model_copy(
                        update={
                            "paused": self._paused,
                            "paused_by": self._paused_by,
                            "failures": self._failures,
                            "failing_since": self._failing_since,
                        }
                    ),
                    initial_versioning_behavior=ContinueAsNewVersioningBehavior.AUTO_UPGRADE,
                )
            if self._paused:
                self._attend(True)  # a pause that is forgotten is found
                self._show(f"paused by {self._paused_by}; `{ids.RESUME}` lets it go on")
                await workflow.wait_condition(lambda: self._steered or _goes_on_anew())
            elif await self._deliver():
                return self._delivered

    async def _deliver(self) -> bool:
        """One batch, and the pause after it; True when there is nothing left to wait for."""
        relay = self._relay
        batch = RelayBatch(
            kind=relay.kind, shard=relay.shard, shards=relay.shards, limit=policies.RELAY_BATCH
        )
        try:
            self._last = await workflow.execute_activity_method(
                OutboxActivities.deliver,
                batch,
                **policies.DELIVER,
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            problem = str(error.cause or error)
            self._last = self._last.model_copy(update={"done": 0, "problem": problem, "down": True})
        self._delivered += self._last.done
        if self._last.problem is not None:
            await self._pause_after_failure(self._last.problem)
            return False
        self._failures, self._failing_since = 0, None
        self._attend(False)
        self._show(f"{self._delivered} delivered")
        if self._last.left == 0:
            # Who woke it may have left something behind the batch's back.
            return not (self._woken or self._steered)
        if self._last.done == 0:
            self._show("leaving young effects to their sagas for a moment")
            await self._wait(policies.RELAY_GRACE_PAUSE)
        return False

    async def _pause_after_failure(self, problem: str) -> None:
        last = self._last
        self._failures += 1
        self._failing_since = self._failing_since or workflow.now()
        self._attend(True)
        if last.done > 0 and not last.down:
            return  # the rest goes on
        pause = policies.relay_pause(self._failures)
        young = last.left > last.held and not last.down
        if young:
            pause = min(pause, policies.RELAY_GRACE_PAUSE)
        held = f" ({last.held} of them behind a refused one: `{ids.SKIP}`)" if last.held else ""
        self._show(
            f"**waiting** since {self._failing_since:%Y-%m-%d %H:%M:%S} UTC: {problem}; "
            f"{last.left} records left{held}, try {self._failures + 1} in "
            f"{pause.total_seconds():g} s, or at once by `{ids.RETRY_NOW}`"
        )
        await self._wait(pause, woken=not last.down and not young)

    async def _wait(self, pause: timedelta, *, woken: bool = False) -> None:
        """Waits, at most until an operator steers, or (if so told) until it is woken.

        With a dependency down a wake is no reason to try earlier, every add is one; nor is it while
        young effects are left to their sagas.
        """
        try:
            await workflow.wait_condition(
                lambda: self._steered or (woken and self._woken), timeout=pause
            )
        except TimeoutError:
            return

    async def _skip(self) -> None:
        while self._skips:
            skip = self._skips[0]
            known = await workflow.execute_activity_method(
                OutboxActivities.skip,
                skip,
                **policies.SKIP_EFFECT,
            )
            note(ids.SKIP, skip.reason, effectId=skip.effect_id, pending=known)
            self._skips.pop(0)

    def _show(self, text: str) -> None:
        workflow.set_current_details(
            f"{self._relay.kind} of shard {self._relay.shard}/{self._relay.shards}: {text}"
        )

    def _attend(self, needed: bool) -> None:
        if bool(workflow.info().typed_search_attributes.get(_ATTENTION)) is not needed:
            workflow.upsert_search_attributes([_ATTENTION.value_set(needed)])

    @workflow.signal(name=ids.WAKE)
    def wake(self) -> None:
        """Something was left pending."""
        self._woken = True

    @workflow.signal(name=ids.RETRY_NOW)
    def retry_now(self, reason: str = "", by: str = "") -> None:
        """Cuts the pause after a failure short."""
        note(ids.RETRY_NOW, reason, by)
        self._steered = True

    @workflow.signal(name=ids.PAUSE)
    def pause(self, reason: str = "", by: str = "") -> None:
        """Stops delivering, until `resume`."""
        self._paused_by = note(ids.PAUSE, reason, by)
        self._paused = self._steered = True

    @workflow.signal(name=ids.RESUME)
    def resume(self, reason: str = "", by: str = "") -> None:
        """Goes on delivering."""
        note(ids.RESUME, reason, by)
        self._paused, self._steered = False, True

    @workflow.signal(name=ids.SKIP)
    def skip(self, effect_id: str, reason: str, by: str = "") -> None:
        """Gives one effect up. Who and why is kept in the record too."""
        why = f"{reason} ({by})" if by else reason
        self._skips.append(SkipEffect(effect_id=effect_id, reason=why, at=workflow.now()))
        self._steered = True

    @workflow.query(name=ids.PENDING)
    def pending(self) -> RelayProgress:
        """What the latest batch came to."""
        return self._last


def _goes_on_anew() -> bool:
    """When the history is long, or when workers have versions and another one is current.

    A run stays with the version of the worker that began it; but a relay may never end, and one
    that was mended must reach the effects that wait.
    """
    info = workflow.info()
    return info.is_continue_as_new_suggested() or info.is_target_worker_deployment_version_changed()
