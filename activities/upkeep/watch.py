"""The step of the watch over holds: compare carts and holds for a second, again and again.

It finds what reconciling finds of holds, by the same comparison, and repairs nothing.
"""

import asyncio
from datetime import UTC, datetime

from temporalio import activity

from activities.errors import as_application_error
from activities.heartbeats import heartbeats
from activities.upkeep.reconcile import CARTS_AT_ONCE, ReconcileActivities
from activities.upkeep.repair import RepairActivities
from adapters.mongo.watch import WatchStore
from models.messages import Drift
from models.upkeep.reconcile import Finding, LookAgain, Suspect
from models.upkeep.watch import WATCHED, HoldWatch, WatchPass

LOOK_SECONDS = 1.0
"""What a look may cost: it ends after the page on which this time is over."""

PAUSE_SECONDS = 0.5
"""After which most of what was only on its way has arrived."""

MOST_SUSPECTS = 100
NEVER = datetime.fromtimestamp(0, UTC)


class WatchActivities:
    """Activities over a `WatchStore`, by the steps of reconciling and of a cart's repair."""

    def __init__(
        self,
        watches: WatchStore,
        reconcile: ReconcileActivities,
        repair: RepairActivities,
        *,
        reserving: bool,
    ) -> None:
        self._watches = watches
        self._reconcile = reconcile
        self._repair = repair
        self._reserving = reserving

    @activity.defn(name="watch_holds")
    async def watch(self, at: datetime) -> str:
        """Looks at the next carts, and keeps what is known by then; answers it in words."""
        async with heartbeats():
            with as_application_error():
                before = await self._watches.latest()
                watch, suspects = await self._next(before, at)
                watch.more = len(suspects) > MOST_SUSPECTS
                known = before.drifts if before else []
                watch.drifts = await self._drifting(suspects[:MOST_SUSPECTS], known)
                await self._watches.keep(watch)
        of_pass = "all" if watch.position is None else "so far"
        return (
            f"{watch.last.carts} carts compared, {of_pass}; "
            f"{len(suspects)} looked at again, {len(watch.drifts)} drifts"
        )

    async def _next(
        self, before: HoldWatch | None, at: datetime
    ) -> tuple[HoldWatch, list[Suspect]]:
        """Compares carts from where the last look has ended, without any lock.

        With those that differ comes what had drifted by then.
        """
        suspects: list[Suspect] = []
        watch = HoldWatch(at=at, last=WatchPass(began=at))
        if before is not None:
            suspects += map(_of, before.drifts)
            watch.whole = before.whole
            if before.position is not None:
                watch.last, watch.position = before.last, before.position
        clock = asyncio.get_running_loop().time
        until = clock() + LOOK_SECONDS
        while True:
            page = await self._reconcile.compare_holds(watch.position)
            watch.last.carts += page.carts
            suspects += page.suspects
            watch.position = page.next
            if watch.position is None:
                watch.whole = watch.last
                break
            if clock() >= until:
                break
        return watch, list(dict.fromkeys(suspects))

    async def _drifting(self, suspects: list[Suspect], known: list[Finding]) -> list[Finding]:
        """What is drift of what looks wrong: a moment later too, and then under the cart's lock.

        So traffic is never called drift, and hardly ever waits for a look at its cart. What is
        known need not be locked as long as it looks as it did, or is busy for long.
        """
        if not suspects:
            return []
        await asyncio.sleep(PAUSE_SECONDS)
        before: dict[Suspect, list[Finding]] = {}
        for finding in known:
            before.setdefault(_of(finding), []).append(finding)
        at_once = asyncio.Semaphore(CARTS_AT_ONCE)

        async def seen(one: Suspect) -> list[Drift]:
            async with at_once:
                return await self._repair.hold_drifts(
                    one.store_id, one.user_id, reserving=self._reserving
                )

        drifts: list[Finding] = []
        unknown: list[Suspect] = []
        for suspect, found in zip(
            suspects, await asyncio.gather(*map(seen, suspects)), strict=True
        ):
            told = before.get(suspect, [])
            if found and found == [one.drift for one in told]:
                drifts += told
            elif found:
                unknown.append(suspect)
        for suspect, locked in zip(unknown, await self._look(unknown), strict=True):
            drifts += before.get(suspect, []) if locked is None else locked
        return [one for one in drifts if one.drift.kind in WATCHED]

    async def _look(self, suspects: list[Suspect]) -> list[list[Finding] | None]:
        """The drifts of each cart, under its lock; None where it is busy."""
        return await self._reconcile.look_at(
            LookAgain(
                suspects=tuple(suspects),
                name=activity.info().workflow_run_id or "",
                reason="watch",
                fix=False,
                stuck_before=NEVER,
            )
        )


def _of(finding: Finding) -> Suspect:
    return Suspect(store_id=finding.store_id, user_id=finding.user_id)
