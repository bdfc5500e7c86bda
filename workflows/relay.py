"""Relays: what a saga could not do inline is done here, in the order of each cart, for ever.

A relay is a long-lived workflow for one shard of carts and one kind of effect. It is woken by
whoever left an effect pending, and ends when its shard has none.
"""

from datetime import datetime

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.outbox import OutboxActivities
    from models.messages import RelayBatch, RelayInput, RelayProgress, SkipEffect
    from workflows import ids, policies

_ATTENTION = SearchAttributeKey.for_bool(ids.ATTENTION)


@workflow.defn(name=ids.RELAY)
class RelayWorkflow:
    """Delivers a shard's pending effects; pauses between tries grow while a dependency is down."""

    @workflow.init
    def __init__(self, relay: RelayInput) -> None:
        self._relay = relay
        self._paused = relay.paused
        self._failures = relay.failures
        self._failing_since: datetime | None = relay.failing_since
        self._last = RelayProgress(done=0, left=0)
        self._delivered = 0
        self._skips: list[SkipEffect] = []
        self._nudged = False

    @workflow.run
    async def run(self, relay: RelayInput) -> int:
        """Answers how many effects this run has delivered."""
        while True:
            self._nudged = False
            await self._skip()
            if self._paused:
                self._show("paused by an operator; `resume` lets it go on")
                await workflow.wait_condition(lambda: self._nudged)
                continue
            if await self._deliver():
                return self._delivered
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(
                    relay.model_copy(
                        update={
                            "paused": self._paused,
                            "failures": self._failures,
                            "failing_since": self._failing_since,
                        }
                    )
                )

    async def _deliver(self) -> bool:
        """One batch, and the pause after it; True when there is nothing left to wait for."""
        relay = self._relay
        batch = RelayBatch(kind=relay.kind, shard=relay.shard, shards=relay.shards)
        try:
            self._last = await workflow.execute_activity_method(
                OutboxActivities.deliver, batch, **policies.DELIVER
            )
        except ActivityError as error:
            problem = str(error.cause or error)
            self._last = self._last.model_copy(update={"done": 0, "problem": problem})
        self._delivered += self._last.done
        if self._last.problem is not None:
            await self._pause_after_failure()
            return False
        self._failures, self._failing_since = 0, None
        self._attend(False)
        if self._last.left == 0:
            return not self._nudged
        if self._last.done == 0:
            self._show("leaving young effects to their sagas for a moment")
            await self._wait(policies.RELAY_GRACE_PAUSE.total_seconds())
        return False

    async def _pause_after_failure(self) -> None:
        self._failures += 1
        self._failing_since = self._failing_since or workflow.now()
        pause = policies.relay_pause(self._failures)
        self._attend(True)
        self._show(
            f"**waiting** since {self._failing_since:%Y-%m-%d %H:%M:%S} UTC: "
            f"{self._last.problem}; {self._last.left} records left, try {self._failures + 1} in "
            f"{pause.total_seconds():g} s, or at once by `{ids.RETRY_NOW}`"
        )
        await self._wait(pause.total_seconds())

    async def _wait(self, seconds: float) -> None:
        """Waits, at most until an operator steers. A wake is no reason: a try is coming anyway."""
        self._nudged = False
        try:
            await workflow.wait_condition(lambda: self._nudged, timeout=seconds)
        except TimeoutError:
            return

    async def _skip(self) -> None:
        while self._skips:
            skip = self._skips[0]
            known = await workflow.execute_activity_method(
                OutboxActivities.skip, skip, **policies.SKIP_EFFECT
            )
            workflow.logger.warning(
                "Effect %s %s: %s",
                skip.effect_id,
                "skipped" if known else "is not pending, nothing to skip",
                skip.reason,
            )
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
        if self._failures == 0:
            self._nudged = True

    @workflow.signal(name=ids.RETRY_NOW)
    def retry_now(self) -> None:
        """Cuts the pause after a failure short."""
        self._nudged = True

    @workflow.signal(name=ids.PAUSE)
    def pause(self) -> None:
        """Stops delivering, until `resume`."""
        self._paused = self._nudged = True

    @workflow.signal(name=ids.RESUME)
    def resume(self) -> None:
        """Goes on delivering."""
        self._paused, self._nudged = False, True

    @workflow.signal(name=ids.SKIP)
    def skip(self, effect_id: str, reason: str) -> None:
        """Gives one effect up. The reason is kept in the record, for the audit."""
        self._skips.append(SkipEffect(effect_id=effect_id, reason=reason, at=workflow.now()))
        self._nudged = True

    @workflow.query(name=ids.PENDING)
    def pending(self) -> RelayProgress:
        """What the latest batch came to."""
        return self._last
