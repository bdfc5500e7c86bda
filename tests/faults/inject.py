"""How a planned fault is done at its moment, healed after its time, and measured.

What is not in here: what it may not break (`invariants`).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from models.operation import shard_key
from tests.faults.catalog import Kind, Planned
from tests.faults.consumer_under_test import CONSUMER
from tests.faults.control import DIE, GO, Reply, Trap, delay, echo, error
from tests.faults.rig import CACHE_TTL_SECONDS, WORKERS, Rig
from tests.faults.wishes import WORKFLOW_TYPES
from tests.support.waiting import eventually
from workflows.ids import cart_workflow_id, relay_workflow_id

Check = Callable[[], Awaitable[None]]

HEAL_SECONDS = 60.0
AIM_SECONDS = 30.0
"""What a run that was hit may take from the end of the fault to its own end, effects included."""
# A machine that runs other tests beside this one takes longer, and that is no mistake of the
# service: beyond this it is one.
CONVERGE_SECONDS = 60.0
# A link or server that is back may be found out only by the next trial of a circuit breaker.
_CLOUDED_AFTER = 2.0


@dataclass
class Hit:
    """A fault that has met its saga. `at` and `healed_at` are `time.monotonic()` seconds."""

    planned: Planned
    store_id: str
    user_id: str
    workflow_id: str
    run_id: str
    worker: str  # the process it was in
    at: float
    moment: datetime = field(default_factory=lambda: datetime.now(UTC))
    healed_at: float | None = None
    converged_after: float | None = None
    settled: Check | None = None
    """Of the consumer: raises `AssertionError` until all that was sent before has had an effect."""


@dataclass
class Injector:
    """Does faults, one at a time for each target, and keeps book of them."""

    rig: Rig
    hits: list[Hit] = field(default_factory=list)
    _busy: dict[str, asyncio.Lock] = field(default_factory=dict)
    _healing: set[asyncio.Task[None]] = field(default_factory=set)

    def arm(self, planned: Planned, store_id: str, user_id: str) -> Trap:
        """Lets the fault meet the first run of the cart that reaches its moment."""
        moment = planned.moment
        cart = workflow_id = cart_workflow_id(store_id, user_id)
        if moment.relay is not None:
            shard = shard_key(store_id, user_id) % self.rig.settings.relay_shards
            workflow_id = relay_workflow_id(moment.relay, shard)

        async def spring(trap: Trap) -> Reply:
            assert trap.run_id is not None
            hit = Hit(
                planned, store_id, user_id, workflow_id, trap.run_id, trap.worker, time.monotonic()
            )
            self.hits.append(hit)
            return await self._strike(hit)

        return self.rig.control.arm(
            Trap(
                workflow_id,
                moment.place,
                spring,
                bait=moment.bait,
                baited_id=cart,
                cart_type=WORKFLOW_TYPES[planned.what],
            )
        )

    def arm_consumer(self, planned: Planned, store_id: str, settled: Callable[[], Check]) -> Trap:
        """Lets the fault strike when the consumer next comes to its moment, whatever it deals with.

        `settled` is asked at that moment for what to wait for then.
        """

        async def spring(trap: Trap) -> Reply:
            hit = Hit(planned, store_id, "", CONSUMER, "", trap.worker, time.monotonic())
            hit.settled = settled()
            self.hits.append(hit)
            return await self._strike(hit)

        return self.rig.control.arm(Trap(CONSUMER, planned.moment.place, spring))

    async def healed(self) -> None:
        """Returns when every fault is over and every run that was hit has ended, or was late."""
        while self._healing:
            await asyncio.gather(*self._healing)

    def clouded(self, workflow_id: str, since: float) -> bool:
        """Whether what a cart's buyer was told since then may not have been written to the cache.

        Because Redis was cut from its writer (or was too slow for it: that is the same), or because
        the run was terminated before it could.
        """
        unshown = self.rig.control.unshown_at(workflow_id)
        if unshown is not None and unshown + CACHE_TTL_SECONDS > since:
            return True
        return any(
            (
                hit.planned.cuts_the_cache
                and (hit.healed_at is None or hit.healed_at + _CLOUDED_AFTER > since)
            )
            or (
                hit.planned.fault.kind is Kind.TERMINATE
                and hit.workflow_id == workflow_id
                and hit.at + CACHE_TTL_SECONDS > since
            )
            for hit in self.hits
        )

    async def _strike(self, hit: Hit) -> Reply:
        """Breaks it, and answers what the worker's own call does; the rest goes on beside it."""
        struck: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._whole(hit, struck))
        self._healing.add(task)
        task.add_done_callback(self._healing.discard)
        first: set[asyncio.Future[Any]] = {struck, task}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        return struck.result() if struck.done() else GO

    async def _whole(self, hit: Hit, struck: "asyncio.Future[Reply]") -> None:
        fault = hit.planned.fault
        async with self._lock(hit.worker if fault.target == "worker" else fault.target):
            hit.at = time.monotonic()
            async with self._broken(hit) as reply:
                struck.set_result(reply)
                if fault.kind not in {Kind.DIE, Kind.TERMINATE}:
                    await asyncio.sleep(hit.planned.seconds)
            hit.healed_at = time.monotonic()
        await self._converged(hit)

    @contextlib.asynccontextmanager
    async def _broken(self, hit: Hit) -> AsyncIterator[Reply]:
        """Broken inside, whole again after."""
        planned, stack = hit.planned, self.rig.stack
        fault = planned.fault
        match fault.kind:
            case Kind.DIE:
                worker = stack.process(hit.worker)
                starts = worker.starts
                yield DIE
                await eventually(_is(lambda: worker.starts > starts), timeout=HEAL_SECONDS)
                await stack.wait_ready(hit.worker, timeout=HEAL_SECONDS)
            case Kind.TERMINATE:
                run = self.rig.temporal.get_workflow_handle(hit.workflow_id, run_id=hit.run_id)
                with contextlib.suppress(RPCError):  # it has ended, or another fault is in the way
                    await run.terminate("an operator ends it")
                yield GO
            case Kind.CALL_ERROR:
                yield error(planned.moment.dependency)
            case Kind.CALL_DELAY:
                yield delay(planned.seconds)
            case Kind.CALL_ECHO:
                # Only what was done can arrive again; elsewhere it is a short delay.
                after = planned.moment.place.point == "after"
                yield echo(planned.seconds) if after else delay(planned.seconds)
            case Kind.LINK:
                assert fault.mode is not None
                pause = planned.seconds / 4
                async with self.rig.links[fault.target].broken(fault.mode, delay=pause):
                    yield GO
            case Kind.KILL:
                if fault.target == "kafka" and not self.rig.production:
                    # Whoever starts the consumer meanwhile would wait for the broker.
                    async with self.rig.arrivals.lock, self._lock(CONSUMER):
                        await self._kill_kafka()
                        yield GO
                        await self._start_kafka()
                        await self.rig.arrivals.again()
                else:
                    await stack.kill(fault.target, restart=False)
                    yield GO
                    await stack.start_again(fault.target, timeout=HEAL_SECONDS)
                stack.process(fault.target).restart = True
            case Kind.PAUSE:
                paused = hit.worker if fault.target == "worker" else fault.target
                stack.pause(paused)
                yield GO
                stack.resume(paused)
                await stack.wait_ready(paused, timeout=HEAL_SECONDS)

    async def _kill_kafka(self) -> None:
        """The stand-in forgets all when it dies: nobody may publish between reading and killing."""
        async with self._publishers_stopped():
            self.rig.links["worker-kafka"].drop(reset=True)
            await self.rig.events.read()
            await self.rig.stack.kill("kafka", restart=False)
            self.rig.events.broker_is_new()

    async def _start_kafka(self) -> None:
        """The stand-in mixes offsets up when somebody publishes before its topics are made."""
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
        """Waits for the end of the run that was hit, and of all that its cart had to do then."""
        handle = self.rig.temporal.get_workflow_handle(hit.workflow_id, run_id=hit.run_id)
        left_pending = {
            "storeId": hit.store_id,
            "userId": hit.user_id,
            "pending": True,
            "at": {"$lte": hit.moment},
        }

        async def ended() -> None:
            assert await self.rig.database["operations"].find_one(left_pending) is None
            run = await handle.describe()
            assert run.status is not WorkflowExecutionStatus.RUNNING

        assert hit.healed_at is not None
        try:
            await eventually(hit.settled or ended, timeout=CONVERGE_SECONDS, interval=0.25)
        except (AssertionError, RPCError):
            return
        hit.converged_after = time.monotonic() - hit.healed_at


def _is(condition: Callable[[], bool]) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        assert condition()

    return check
