"""Relays deliver the effects that sagas left pending, in the order of each cart, until done.

A relay is a long-running workflow for one shard of carts and one kind of effect. Sagas and the
sweep wake it; it ends when its shard has nothing pending.
"""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, is_cancelled_exception
from temporalio.workflow import ContinueAsNewVersioningBehavior

with workflow.unsafe.imports_passed_through():
    from activities.relay import RelayActivities
    from models.relays import (
        RelayBatch,
        RelayInput,
        RelayProgress,
        RelayStatus,
        SkipEffect,
        doubling_pause,
    )
    from workflows import ids, policies
    from workflows.operator_signals import note

_ATTENTION = SearchAttributeKey.for_bool(ids.ATTENTION)


@workflow.defn(name=ids.RELAY)
class RelayWorkflow:
    """Delivers a shard's pending effects, with growing pauses between tries that fail."""

    @workflow.init
    def __init__(self, relay: RelayInput) -> None:
        self._relay = relay
        self._paused = relay.paused
        self._paused_by = relay.paused_by
        self._paused_since = relay.paused_since or (workflow.now() if relay.paused else None)
        self._says = ""
        self._failures = relay.failures
        self._failing_since: datetime | None = relay.failing_since
        self._last = RelayProgress(done=0, left=0)
        self._delivered = 0
        self._skips: list[SkipEffect] = []
        # Signals since the latest batch began.
        self._woken = False
        self._steered = False
        self._retry_now = relay.retry_now

    @workflow.run
    async def run(self, relay: RelayInput) -> int:
        """Returns how many effects this run has delivered."""
        while True:
            self._woken = self._steered = False
            await self._skip()
            if _should_continue_as_new():
                workflow.continue_as_new(
                    relay.model_copy(
                        update={
                            "paused": self._paused,
                            "paused_by": self._paused_by,
                            "paused_since": self._paused_since,
                            "failures": self._failures,
                            "failing_since": self._failing_since,
                            "retry_now": self._retry_now,
                        }
                    ),
                    initial_versioning_behavior=ContinueAsNewVersioningBehavior.AUTO_UPGRADE,
                )
            if self._paused:
                self._attend(True)  # so that a forgotten pause is found
                self._show(
                    f"paused since {self._paused_since:%Y-%m-%d %H:%M:%S} UTC by "
                    f"{self._paused_by}; `{ids.RESUME}` resumes it"
                )
                await workflow.wait_condition(lambda: self._steered or _should_continue_as_new())
            elif await self._deliver():
                return self._delivered

    async def _deliver(self) -> bool:
        """Delivers one batch, then waits if needed; True when nothing is left."""
        relay = self._relay
        batch = RelayBatch(
            kind=relay.kind,
            shard=relay.shard,
            shards=relay.shards,
            limit=policies.RELAY_BATCH,
            retry_now=self._retry_now,
        )
        self._retry_now = False
        try:
            last = await workflow.execute_activity_method(
                RelayActivities.deliver,
                batch,
                **policies.DELIVER,
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            problem = str(error.cause or error)
            last = self._last.model_copy(update={"done": 0, "problem": problem, "down": True})
        self._last = last
        self._delivered += last.done
        self._note_problem(last.problem)
        if last.left == 0 and last.problem is None:
            self._show(f"{self._delivered} delivered")
            # A wake during the batch may announce an effect that the batch has not seen.
            return not (self._woken or self._steered)
        await self._wait_for_next_try()
        return False

    def _note_problem(self, problem: str | None) -> None:
        if problem is None:
            self._failures, self._failing_since = 0, None
        else:
            self._failures += 1
            self._failing_since = self._failing_since or workflow.now()
        self._attend(problem is not None)

    async def _wait_for_next_try(self) -> None:
        """Waits until an effect is due again; longer each time when nothing could be done.

        A signal of an operator ends this. A wake does so after a moment, but not while nothing
        can be done, since every change of a cart sends one.
        """
        last = self._last
        pause = max((last.next_try or workflow.now()) - workflow.now(), timedelta(0))
        if last.down:
            pause = max(pause, doubling_pause(self._failures))
        elif last.done == 0:
            pause = max(pause, policies.RELAY_WAKE_PAUSE)
        if last.problem is None:
            self._show(
                f"{self._delivered} delivered, {last.left} records left, the next due in "
                f"{pause.total_seconds():g} s"
            )
        else:
            self._show(
                f"**waiting** since {self._failing_since:%Y-%m-%d %H:%M:%S} UTC: {last.problem}; "
                f"{last.left} records left, try {self._failures + 1} in "
                f"{pause.total_seconds():g} s, or at once by `{ids.RETRY_NOW}`"
            )
        if not last.down and pause > policies.RELAY_WAKE_PAUSE:
            pause -= policies.RELAY_WAKE_PAUSE
            await self._wait(policies.RELAY_WAKE_PAUSE)
            await self._wait(pause, woken=True)
        elif pause:
            await self._wait(pause)

    async def _wait(self, pause: timedelta, *, woken: bool = False) -> None:
        """Waits for `pause`, or until an operator's signal or, with `woken`, a wake."""
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
                RelayActivities.skip,
                skip,
                **policies.SKIP_EFFECT,
            )
            note(ids.SKIP, skip.reason, skip.by, effectId=skip.effect_id, pending=known)
            self._skips.pop(0)

    def _show(self, text: str) -> None:
        self._says = (
            f"{self._relay.kind}s of shard {self._relay.shard}/{self._relay.shards}: {text}"
        )
        workflow.set_current_details(self._says)

    def _attend(self, needed: bool) -> None:
        if bool(workflow.info().typed_search_attributes.get(_ATTENTION)) is not needed:
            workflow.upsert_search_attributes([_ATTENTION.value_set(needed)])

    @workflow.signal(name=ids.WAKE)
    def wake(self) -> None:
        """An effect was left pending."""
        self._woken = True

    @workflow.signal(name=ids.RETRY_NOW)
    def retry_now(self, reason: str = "", by: str = "") -> None:
        """Ends the pause after a failure."""
        note(ids.RETRY_NOW, reason, by)
        self._retry_now = self._steered = True

    @workflow.signal(name=ids.PAUSE)
    def pause(self, reason: str = "", by: str = "") -> None:
        """Stops delivering, until `resume`."""
        self._paused_by = note(ids.PAUSE, reason, by)
        self._paused_since = self._paused_since or workflow.now()
        self._paused = self._steered = True

    @workflow.signal(name=ids.RESUME)
    def resume(self, reason: str = "", by: str = "") -> None:
        """Resumes delivering."""
        note(ids.RESUME, reason, by)
        self._paused, self._paused_since, self._steered = False, None, True

    @workflow.signal(name=ids.SKIP)
    def skip(self, effect_id: str, reason: str, by: str = "") -> None:
        """Skips one effect for good. The record keeps the operator and the reason."""
        why = f"{reason} ({by})" if by else reason
        self._skips.append(SkipEffect(effect_id=effect_id, reason=why, at=workflow.now(), by=by))
        self._steered = True

    @workflow.query(name=ids.STATUS)
    def status(self) -> RelayStatus:
        """What it does, and since when it is paused."""
        return RelayStatus(
            says=self._says,
            paused_since=self._paused_since,
            paused_by=self._paused_by if self._paused else "",
            last=self._last,
        )


def _should_continue_as_new() -> bool:
    """When the history is long, or another worker version is current.

    A run is pinned to the worker version that started it. A relay may run for very long, and a
    fixed version must reach the effects that wait.
    """
    info = workflow.info()
    return info.is_continue_as_new_suggested() or info.is_target_worker_deployment_version_changed()
