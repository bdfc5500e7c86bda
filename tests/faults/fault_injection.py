"""Applies a planned fault at its moment, removes it after its time, and measures the recovery."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from models.cart import CartKey
from models.documents import bucket_of
from tests.faults.cart_requests import WORKFLOW_TYPES
from tests.faults.consumer_under_test import CONSUMER
from tests.faults.fault_catalog import ENDED_RUN, RUN, FaultMethod, PlannedFault
from tests.faults.partial.faults import SickPart, applied
from tests.faults.partial.kafka import partition_of
from tests.faults.rig import WORKERS, FaultRig
from tests.faults.triggers import CONTINUE, DIE, Instruction, Trigger, delay, echo, error
from tests.support.resets import reset_to_first_task
from tests.support.waiting import eventually
from workflows.ids import cart_workflow_id, relay_workflow_id

Check = Callable[[], Awaitable[None]]

HEAL_SECONDS = 60.0
AIM_SECONDS = 30.0
"""The target for the time from the end of a fault to the end of its run, effects included."""
# The limit: a machine that runs other tests at the same time may miss the target.
CONVERGE_SECONDS = 60.0


@dataclass
class Hit:
    """A fault that was applied. `at` and `healed_at` are `time.monotonic()` seconds."""

    planned: PlannedFault
    store_id: str
    user_id: str
    workflow_id: str
    run_id: str
    worker: str  # the worker process of the run
    at: float
    product_id: str | None = None
    moment: datetime = field(default_factory=lambda: datetime.now(UTC))
    healed_at: float | None = None
    converged_after: float | None = None
    settled: Check | None = None
    """For the consumer: raises `AssertionError` until all earlier events had their effect."""


@dataclass
class Injector:
    """Applies faults, one at a time for each target, and records them in `hits`."""

    rig: FaultRig
    hits: list[Hit] = field(default_factory=list)
    _busy: dict[str, asyncio.Lock] = field(default_factory=dict)
    _healing: set[asyncio.Task[None]] = field(default_factory=set)

    def arm(
        self, planned: PlannedFault, store_id: str, user_id: str, product_id: str | None
    ) -> Trigger:
        """Arms the fault for the first run of the cart that reaches its moment.

        With a partial fault of the inventory, `product_id` is the sick product.
        """
        moment = planned.moment
        cart = workflow_id = cart_workflow_id(store_id, user_id)
        if moment.relay is not None:
            shard = bucket_of(CartKey(store_id, user_id)) % self.rig.settings.relay_shards
            workflow_id = relay_workflow_id(moment.relay, shard)

        async def fire(trigger: Trigger) -> Instruction:
            assert trigger.run_id is not None
            hit = Hit(
                planned,
                store_id,
                user_id,
                workflow_id,
                trigger.run_id,
                trigger.worker,
                time.monotonic(),
                product_id,
            )
            self.hits.append(hit)
            return await self._strike(hit)

        return self.rig.triggers.arm(
            Trigger(
                workflow_id,
                moment.call_point,
                fire,
                setup_failures=moment.setup_failures,
                setup_workflow_id=cart,
                cart_type=WORKFLOW_TYPES[planned.action],
            )
        )

    def arm_consumer(
        self, planned: PlannedFault, store_id: str, settled: Callable[[], Check]
    ) -> Trigger:
        """Arms the fault for the next message with which the consumer reaches its moment.

        `settled` is called at that moment; it returns the check to wait for after the fault.
        """

        async def fire(trigger: Trigger) -> Instruction:
            hit = Hit(planned, store_id, "", CONSUMER, "", trigger.worker, time.monotonic())
            hit.settled = settled()
            self.hits.append(hit)
            return await self._strike(hit)

        return self.rig.triggers.arm(Trigger(CONSUMER, planned.moment.call_point, fire))

    async def healed(self) -> None:
        """Returns when every fault is over and every run that was hit has ended, or is late."""
        while self._healing:
            await asyncio.gather(*self._healing)

    async def _strike(self, hit: Hit) -> Instruction:
        """Applies the fault and returns the instruction for the call; healing runs in a task."""
        struck: asyncio.Future[Instruction] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._inject_and_heal(hit, struck))
        self._healing.add(task)
        task.add_done_callback(self._healing.discard)
        first: set[asyncio.Future[Any]] = {struck, task}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        return struck.result() if struck.done() else CONTINUE

    async def _inject_and_heal(self, hit: Hit, struck: "asyncio.Future[Instruction]") -> None:
        fault = hit.planned.fault
        async with self._lock(_target(hit)):
            hit.at = time.monotonic()
            async with self._broken(hit) as reply:
                struck.set_result(reply)
                if fault.kind not in {FaultMethod.DIE, FaultMethod.TERMINATE, FaultMethod.RESET}:
                    await asyncio.sleep(hit.planned.seconds)
            hit.healed_at = time.monotonic()
        await self._converged(hit)

    @contextlib.asynccontextmanager
    async def _broken(self, hit: Hit) -> AsyncIterator[Instruction]:
        """Applies the fault on entry and removes it on exit."""
        planned, stack = hit.planned, self.rig.stack
        fault = planned.fault
        match fault.kind:
            case FaultMethod.DIE:
                worker = stack.process(hit.worker)
                starts = worker.starts
                yield DIE
                await eventually(_is(lambda: worker.starts > starts), timeout=HEAL_SECONDS)
                await stack.wait_ready(hit.worker, timeout=HEAL_SECONDS)
            case FaultMethod.TERMINATE | FaultMethod.RESET:
                async with self._operated(hit):
                    yield CONTINUE
            case FaultMethod.CALL_ERROR:
                yield error(planned.moment.dependency)
            case FaultMethod.CALL_DELAY:
                yield delay(planned.seconds)
            case FaultMethod.CALL_ECHO:
                # Only a call that was made can arrive twice; at other points this is a short delay.
                after = planned.moment.call_point.point == "after"
                yield echo(planned.seconds) if after else delay(planned.seconds)
            case FaultMethod.LINK:
                assert fault.mode is not None
                pause = planned.seconds / 4
                async with self.rig.links[fault.target].broken(fault.mode, delay=pause):
                    yield CONTINUE
            case FaultMethod.PARTIAL:
                assert fault.partial is not None
                async with applied(self.rig, fault.partial, await self._sick_part(hit)):
                    yield CONTINUE
            case FaultMethod.KILL:
                async with self._killed(fault.target):
                    yield CONTINUE
            case FaultMethod.PAUSE:
                paused = hit.worker if fault.target == "worker" else fault.target
                stack.pause(paused)
                yield CONTINUE
                stack.resume(paused)
                await stack.wait_ready(paused, timeout=HEAL_SECONDS)

    @contextlib.asynccontextmanager
    async def _killed(self, name: str) -> AsyncIterator[None]:
        """Kills a process on entry and starts it again on exit."""
        stack = self.rig.stack
        if name == "kafka" and not self.rig.production:
            # A consumer that is started meanwhile would wait for the broker.
            async with self.rig.producer.lock, self._lock(CONSUMER):
                await self._kill_kafka()
                yield
                await self._start_kafka()
                await self.rig.producer.resend_all()
        else:
            await stack.kill(name, restart=False)
            yield
            await stack.start_again(name, timeout=HEAL_SECONDS)
        stack.process(name).restart = True

    async def _sick_part(self, hit: Hit) -> SickPart:
        """What a partial fault is limited to: what the request is about."""
        whose = {"storeId": hit.store_id, "userId": hit.user_id}
        cart = await self.rig.database["carts"].find_one(whose)
        subject = str(cart["_id"]) if cart else hit.run_id
        return SickPart(hit.store_id, hit.user_id, hit.product_id, partition_of(subject))

    @contextlib.asynccontextmanager
    async def _operated(self, hit: Hit) -> AsyncIterator[None]:
        """An operator terminates or resets the run, now or (`ENDED_RUN`) after its end."""
        run = self.rig.temporal.get_workflow_handle(hit.workflow_id, run_id=hit.run_id)

        async def reset() -> None:  # from then on the hit is of the new run
            hit.run_id = await reset_to_first_task(self.rig.temporal, hit.workflow_id, hit.run_id)

        async def ended() -> None:
            assert (await run.describe()).status is not WorkflowExecutionStatus.RUNNING

        fault = hit.planned.fault
        if fault.target == ENDED_RUN:
            yield
            with contextlib.suppress(AssertionError):  # an invariant reports a run that never ends
                await eventually(ended, timeout=HEAL_SECONDS)
                await asyncio.sleep(hit.planned.seconds)
                await eventually(reset, timeout=HEAL_SECONDS)
            return
        with contextlib.suppress(RPCError):  # the run has ended, or another fault blocks the call
            if fault.kind is FaultMethod.RESET:
                await reset()
            else:
                await run.terminate("terminated by an operator")
        yield

    async def _kill_kafka(self) -> None:
        """Reads all events, then kills the stand-in, which loses them; publishers are paused."""
        async with self._publishers_stopped():
            self.rig.links["worker-kafka"].drop(reset=True)
            await self.rig.published.read()
            await self.rig.stack.kill("kafka", restart=False)
            self.rig.published.broker_restarted_empty()

    async def _start_kafka(self) -> None:
        """Starts the stand-in. It mixes up offsets if a message arrives before its topics exist."""
        async with self._publishers_stopped():
            await self.rig.stack.start_again("kafka", timeout=HEAL_SECONDS)

    @contextlib.asynccontextmanager
    async def _publishers_stopped(self) -> AsyncIterator[None]:
        """The caller holds the consumer's lock."""
        async with contextlib.AsyncExitStack() as held:
            self.rig.stack.pause(CONSUMER)
            held.callback(self.rig.stack.resume, CONSUMER)
            for worker in WORKERS:
                await held.enter_async_context(self._lock(worker))
                self.rig.stack.pause(worker)
                held.callback(self.rig.stack.resume, worker)
            yield

    def _lock(self, target: str) -> asyncio.Lock:
        return self._busy.setdefault(target, asyncio.Lock())

    async def _converged(self, hit: Hit) -> None:
        """Waits for the end of the run that was hit, and for the pending effects of its cart.

        A relay goes on as long as other carts have effects for it.
        """
        handle = self.rig.temporal.get_workflow_handle(hit.workflow_id, run_id=hit.run_id)
        left_pending = {
            "storeId": hit.store_id,
            "userId": hit.user_id,
            "pending": True,
            "at": {"$lte": hit.moment},
        }

        async def ended() -> None:
            assert await self.rig.database["operations"].find_one(left_pending) is None
            if hit.planned.moment.relay is None:
                run = await handle.describe()
                assert run.status is not WorkflowExecutionStatus.RUNNING

        assert hit.healed_at is not None
        try:
            await eventually(hit.settled or ended, timeout=CONVERGE_SECONDS, interval=0.25)
        except (AssertionError, RPCError):
            return
        hit.converged_after = time.monotonic() - hit.healed_at


def _target(hit: Hit) -> str:
    """The name of what the fault is of; faults of the same exclude each other."""
    match hit.planned.fault.target:
        case "worker":
            return hit.worker
        case target if target in {RUN, ENDED_RUN}:
            return hit.run_id
        case target:
            return target


def _is(condition: Callable[[], bool]) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        assert condition()

    return check
