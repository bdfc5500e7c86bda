"""The schedules: which workflows run at which interval.

Operators see, pause and trigger them in the Web UI. A worker that starts corrects what an earlier
release has left of them; a schedule that an operator has paused stays paused.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from models.upkeep.passes import PassInput
from models.upkeep.reconcile import DEFAULT_LIMIT, ReconcileInput
from workflows import ids

SWEEP_EVERY = timedelta(seconds=15)
WATCH_EVERY = timedelta(seconds=15)
HOLDS_EVERY = timedelta(seconds=15)


@dataclass(frozen=True)
class Timed:
    """A workflow that runs at an interval. While one runs, the next start is skipped.

    `jitter` spreads the starts; `catch_up` is how late a start may be after an outage. A run that
    hangs ends after `at_most`: until then it would keep every other one from starting.
    """

    schedule_id: str
    workflow: str
    arguments: tuple[Any, ...]
    every: timedelta
    jitter: timedelta
    catch_up: timedelta
    at_most: timedelta
    note: str

    def schedule(self, task_queue: str) -> Schedule:
        """The schedule for Temporal's client."""
        return Schedule(
            action=ScheduleActionStartWorkflow(
                self.workflow,
                args=self.arguments,
                id=self.schedule_id,
                task_queue=task_queue,
                execution_timeout=self.at_most,
                static_summary=self.note,
            ),
            spec=ScheduleSpec(
                intervals=[ScheduleIntervalSpec(every=self.every)], jitter=self.jitter
            ),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=self.catch_up),
            state=ScheduleState(note=self.note),
        )


SCHEDULES = (
    Timed(
        ids.SWEEP_SCHEDULE,
        ids.SWEEP,
        (),
        every=SWEEP_EVERY,
        jitter=timedelta(seconds=1),
        catch_up=SWEEP_EVERY,
        at_most=timedelta(minutes=5),
        note="Wakes relays for effects that have been pending for more than ten seconds",
    ),
    Timed(
        ids.WATCH_SCHEDULE,
        ids.WATCH_HOLDS,
        (),
        every=WATCH_EVERY,
        jitter=timedelta(seconds=1),
        catch_up=timedelta(seconds=10),
        at_most=timedelta(minutes=15),
        note="Compares carts and reservations, and releases what no cart explains",
    ),
    Timed(
        ids.EXPIRY_SCHEDULE,
        ids.EXPIRY,
        (PassInput(),),
        every=timedelta(minutes=5),
        jitter=timedelta(seconds=30),
        catch_up=timedelta(minutes=5),
        at_most=timedelta(hours=12),
        note="Clears the carts that have expired, so that they give their stock back",
    ),
    Timed(
        ids.HOLDS_SCHEDULE,
        ids.END_HOLDS,
        (PassInput(),),
        every=HOLDS_EVERY,
        jitter=timedelta(seconds=1),
        catch_up=HOLDS_EVERY,
        at_most=timedelta(hours=1),
        note="Gives back the units of carts whose holds have ended",
    ),
    Timed(
        ids.CHECKOUTS_SCHEDULE,
        ids.END_CHECKOUTS,
        (PassInput(),),
        every=HOLDS_EVERY,
        jitter=timedelta(seconds=1),
        catch_up=HOLDS_EVERY,
        at_most=timedelta(hours=1),
        note="Ends the checkouts whose time is over, so that their carts can be changed again",
    ),
    Timed(
        ids.ABANDONMENT_SCHEDULE,
        ids.ABANDONMENT,
        (PassInput(),),
        every=timedelta(minutes=1),
        jitter=timedelta(seconds=5),
        catch_up=timedelta(minutes=1),
        at_most=timedelta(hours=1),
        note="Publishes which carts their users have abandoned",
    ),
    Timed(
        ids.FIGURES_SCHEDULE,
        ids.FIGURES,
        (),
        every=timedelta(minutes=5),
        jitter=timedelta(seconds=30),
        catch_up=timedelta(minutes=1),
        at_most=timedelta(minutes=30),
        note="Measures the business: items and value of all carts, abandonment, conversion",
    ),
    Timed(
        ids.RECONCILE_SCHEDULE,
        ids.RECONCILE,
        (ReconcileInput(),),
        every=timedelta(days=1),
        jitter=timedelta(minutes=30),
        catch_up=timedelta(hours=6),
        at_most=timedelta(hours=23),
        note="Compares carts, holds, pending effects and cache; a dry run (RECONCILE_REPAIRS)",
    ),
)
_REPAIRING = (
    f"Compares carts, holds, pending effects and cache, and repairs at most {DEFAULT_LIMIT} carts"
)


def schedules(*, repairs: bool) -> list[Timed]:
    """The schedules; with `repairs` the daily comparison repairs what it finds."""
    return [
        replace(timed, arguments=(ReconcileInput(fix=True),), note=_REPAIRING)
        if repairs and timed.workflow == ids.RECONCILE
        else timed
        for timed in SCHEDULES
    ]


async def ensure_schedules(client: Client, *, task_queue: str, repairs: bool) -> None:
    """Creates the schedules that do not exist, and makes the others as they are described here."""
    for timed in schedules(repairs=repairs):
        wanted = timed.schedule(task_queue)
        try:
            await client.create_schedule(timed.schedule_id, wanted)
        except ScheduleAlreadyRunningError:
            await client.get_schedule_handle(timed.schedule_id).update(partial(_corrected, wanted))


@asynccontextmanager
async def watch_paused(client: Client, why: str) -> AsyncIterator[None]:
    """Pauses the watch over holds meanwhile. One that is paused already stays paused.

    Raises `LookupError` when no worker has made the schedule yet.
    """
    handle = client.get_schedule_handle(ids.WATCH_SCHEDULE)
    try:
        state = (await handle.describe()).schedule.state
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise LookupError(ids.WATCH_SCHEDULE) from None
        raise
    if state.paused and state.note != why:
        yield
        return
    await handle.pause(note=why)
    try:
        yield
    finally:
        await handle.unpause(note=_note_of(ids.WATCH_SCHEDULE))


def _note_of(schedule_id: str) -> str:
    return next(timed.note for timed in SCHEDULES if timed.schedule_id == schedule_id)


def _corrected(wanted: Schedule, current: ScheduleUpdateInput) -> ScheduleUpdate:
    """The wanted schedule, paused with its reason if the current one is."""
    state = current.description.schedule.state
    if state.paused:
        wanted.state.paused, wanted.state.note = True, state.note
    return ScheduleUpdate(wanted)
