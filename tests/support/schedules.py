"""Runs of schedules: kept away from a test, or interrupted by it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio.client import Client

from adapters.mongo import client as mongo
from tests.support.waiting import eventually
from workflows.upkeep.schedules import SCHEDULES


@asynccontextmanager
async def paused_schedules(client: Client) -> AsyncIterator[None]:
    """Inside, no schedule starts a run, and no run of a schedule is open."""
    handles = {client.get_schedule_handle(timed.schedule_id): timed for timed in SCHEDULES}
    for handle, timed in handles.items():
        await handle.pause(note=timed.note)

    async def quiet() -> None:
        for handle in handles:
            assert not (await handle.describe()).info.running_actions

    await eventually(quiet, timeout=60)
    try:
        yield
    finally:
        for handle, timed in handles.items():
            await handle.unpause(note=timed.note)


def in_the_middle_of_a_pass(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[], Awaitable[object]]
) -> list[str]:
    """Makes a change when the first transaction of a pass has read its carts and written nothing.

    Returns a list that gets an entry for each try of the transaction.
    """
    insert_all = mongo.insert_all
    tries: list[str] = []

    async def after_a_change(*args: Any, **options: Any) -> None:
        tries.append("tried")
        if len(tries) == 1:
            await change()
        await insert_all(*args, **options)

    monkeypatch.setattr("adapters.mongo.batches.insert_all", after_a_change)
    return tries
