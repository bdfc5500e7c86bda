"""The step of the watch over reservations, which compares carts and reservations continuously.

It uses the comparison of reconciling. It releases reservations of terminated runs, and reservations
without a cart that last for `ORPHAN_SECONDS`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from temporalio import activity

from activities.concurrency import gather_bounded
from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from activities.upkeep.reconcile import CARTS_AT_ONCE, ReconcileActivities, Reserving
from activities.upkeep.repair import RepairActivities
from adapters.mongo.operations import OperationStore
from adapters.mongo.watch import WatchStore
from models.actor import Actor, ActorType
from models.drift import Drift, DriftKind
from models.runners import Share
from models.saga import SagaRun
from models.upkeep.reconcile import NEVER, Finding, LookAgain, Suspect
from models.upkeep.watch import WATCHED, HoldWatch, WatchPass, WatchRunner

LOOK_SECONDS = 1.0
"""The time after which a look ends with the current pages."""

RUNNERS = 4
"""How many pages of different stores a look compares side by side."""

PAUSE_SECONDS = 0.5
"""The pause before suspects are compared again; most operations in progress end in it."""

MOST_SUSPECTS = 100

STOPPED_LOOKBACK = timedelta(minutes=15)
MOST_STOPPED = 1000
ORPHAN_SECONDS = 30.0
"""The age at which a reservation without a cart is released. Until then it can be inspected."""

StoppedSagas = Callable[[datetime], Awaitable[list[SagaRun]]]
"""The sagas whose runs ended since a time without an undo."""


class WatchActivities:
    """Activities on a `WatchStore`. Uses the steps of reconciling and of a cart's repair."""

    def __init__(
        self,
        watches: WatchStore,
        operations: OperationStore,
        reconcile: ReconcileActivities,
        repair: RepairActivities,
        *,
        stopped: StoppedSagas,
        reserving: Reserving,
        orphan_seconds: float = ORPHAN_SECONDS,
    ) -> None:
        self._watches = watches
        self._operations = operations
        self._reconcile = reconcile
        self._repair = repair
        self._stopped = stopped
        self._reserving = reserving
        self._orphan_age = timedelta(seconds=orphan_seconds)

    @activity.defn(name="watch_holds")
    async def watch(self, at: datetime) -> str:
        """Compares the next carts, stores the findings, and returns a summary."""
        async with heartbeats():
            with as_application_error():
                stopped = await self._stopped_carts(at)
                before = await self._watches.latest()
                watch, suspects = await self._next(before, at)
                suspects = [*dict.fromkeys([*stopped, *suspects])]
                watch.more = len(suspects) > MOST_SUSPECTS
                known = before.drifts if before else []
                watch.drifts = await self._drifting(suspects[:MOST_SUSPECTS], known, at)
                await self._watches.keep(watch)
        of_pass = "all" if watch.position is None else "so far"
        return (
            f"{watch.last.carts} carts compared, {of_pass}; "
            f"{len(suspects)} looked at again, {len(watch.drifts)} drifts"
        )

    async def _stopped_carts(self, at: datetime) -> list[Suspect]:
        """The carts of sagas whose runs were terminated, and so had no undo.

        Records the sagas as aborted first, so that none of their steps can still commit.
        """
        stopped = await self._stopped(at - STOPPED_LOOKBACK)
        undecided = await self._operations.abandon(stopped)
        return [Suspect(store_id=saga.store_id, user_id=saga.user_id) for saga in undecided]

    async def _next(
        self, before: HoldWatch | None, at: datetime
    ) -> tuple[HoldWatch, list[Suspect]]:
        """Compares carts from the end of the last look on, without locks.

        Returns the carts that differ, and the carts of known drifts.
        """
        suspects: list[Suspect] = []
        watch = HoldWatch(at=at, last=WatchPass(began=at))
        if before is not None:
            suspects += map(_suspect, before.drifts)
            watch.whole = before.whole
            if before.position is not None:
                watch.last, watch.runners = before.last, before.runners
        runners = watch.runners or [WatchRunner()] * RUNNERS
        clock = asyncio.get_running_loop().time
        until = clock() + LOOK_SECONDS

        async def compare(number: int) -> None:
            while not runners[number].ended:
                carts, differing, position = await self._reconcile.compare_holds(
                    Share(runner=number, runners=len(runners)), runners[number].position
                )
                runners[number] = WatchRunner(position=position, ended=position is None)
                watch.last.carts += carts
                suspects.extend(differing)
                if clock() >= until:
                    break

        await asyncio.gather(*map(compare, range(len(runners))))
        left = [runner.position for runner in runners if not runner.ended]
        watch.runners = runners if left else []
        watch.position = left[0] if left else None
        if not left:
            watch.whole = watch.last
        return watch, list(dict.fromkeys(suspects))

    async def _drifting(
        self, suspects: list[Suspect], known: list[Finding], at: datetime
    ) -> list[Finding]:
        """The drifts of the suspects that still differ after a pause, checked under their locks.

        So operations in progress are never reported, and rarely wait for the lock. A known drift
        is not checked under the lock again while it is unchanged, until it is old enough to be
        repaired.
        """
        if not suspects:
            return []
        await asyncio.sleep(PAUSE_SECONDS)
        before: dict[Suspect, list[Finding]] = {}
        for finding in known:
            before.setdefault(_suspect(finding), []).append(finding)

        async def compare(one: Suspect) -> list[Drift]:
            reserving = await self._reserving(one.store_id)
            found = await self._repair.hold_drifts(one.store_id, one.user_id, reserving=reserving)
            return [drift for drift in found if drift.kind in WATCHED]

        drifts: list[Finding] = []
        new: list[Suspect] = []
        old: list[Suspect] = []
        compared = await gather_bounded(compare, suspects, CARTS_AT_ONCE)
        for suspect, found in zip(suspects, compared, strict=True):
            earlier = before.get(suspect, [])
            if found and found == [one.drift for one in earlier]:
                if any(self._is_due(one, at) for one in earlier):
                    old.append(suspect)
                else:
                    drifts += earlier
            elif found:
                new.append(suspect)
        for suspects_now, fix in ((new, False), (old, True)):
            looks = await self._look(suspects_now, fix=fix)
            for suspect, locked in zip(suspects_now, looks, strict=True):
                drifts += before.get(suspect, []) if locked is None else locked
        return [
            one if one.seen_at else one.model_copy(update={"seen_at": at})
            for one in drifts
            if one.drift.kind in WATCHED and one.drift.done is None
        ]

    def _is_due(self, finding: Finding, at: datetime) -> bool:
        """Whether units without a cart are old enough to be released."""
        return (
            finding.drift.kind is DriftKind.ORPHANED_HOLD
            and finding.seen_at is not None
            and at - finding.seen_at >= self._orphan_age
        )

    async def _look(self, suspects: list[Suspect], *, fix: bool) -> list[list[Finding] | None]:
        """The drifts of each cart, under its lock; None where the cart is busy."""
        return await self._reconcile.look_at(
            LookAgain(
                suspects=tuple(suspects),
                name=f"{activity.info().workflow_run_id}/{fix}",
                reason="watch",
                fix=fix,
                stuck_before=NEVER,
                actor=Actor(type=ActorType.REPAIR, id="watch"),
            )
        )


def _suspect(finding: Finding) -> Suspect:
    return Suspect(store_id=finding.store_id, user_id=finding.user_id)
