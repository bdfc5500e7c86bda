"""`python -m tests.replay.record [NAME…]`: records histories again, on a stack of its own.

Use it for a new scenario, and after an intended change of a workflow if no run of the old code can
be open, as before release 1.0.0. Otherwise keep the old history, and let the workflow take both
ways with `workflow.patched`.
"""

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from temporalio.client import WorkflowHistory

from adapters.mongo.carts import CartStore
from dev.stack.apps import SERVERS
from dev.stack.stack import Stack
from settings import Settings
from tests.conftest import settings_of_its_own
from tests.replay.common import Run, ended
from tests.replay.histories import FOLDER, save
from tests.replay.scenarios import SCENARIOS
from tests.support.relays import relay_bench
from tests.support.shop import Shop, World
from tests.workflows.conftest import Bench
from workflows.connection import connect


async def record(names: list[str], settings: Settings) -> None:
    """Runs each of these scenarios, and saves its history."""
    async with AsyncExitStack() as held:
        await held.enter_async_context(Stack(settings, parts=(*SERVERS, "inventory")))
        carts = await CartStore.connect(settings.mongodb, app_name="record")
        held.push_async_callback(carts.close)
        http = await held.enter_async_context(httpx.AsyncClient())
        inventory = await held.enter_async_context(httpx.AsyncClient(base_url=settings.inventory))
        world = World(settings, http, inventory, carts, await connect(settings))
        for name in names:
            shop = Shop(world)
            await shop.stock("headphones", 10)
            async with relay_bench(shop, settings) as relays:
                bench = Bench(shop, relays.faults, relays.settings.temporal_task_queue)
                run = await SCENARIOS[name](bench, relays)
                await ended(run)
                save(name, with_own_run_id(await run.fetch_history(), run))
            print(f"recorded {name}")  # noqa: T201


def with_own_run_id(history: WorkflowHistory, run: Run) -> WorkflowHistory:
    """The history with the id of its run where a replayer looks for it. The history of a run that
    was reset has the id of the first run there; a worker gets the run's own id from the server."""
    started = history.events[0].workflow_execution_started_event_attributes
    if run.run_id is not None:
        started.original_execution_run_id = run.run_id
    return history


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    names = parser.parse_args().names or [*SCENARIOS]
    unknown = sorted({*names} - {*SCENARIOS})
    if unknown:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    for path in FOLDER.glob("*.json"):
        if path.stem not in SCENARIOS:
            path.unlink()
    with TemporaryDirectory() as folder, settings_of_its_own(Path(folder)) as settings:
        asyncio.run(record(names, settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
