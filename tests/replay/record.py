"""`python -m tests.replay.record [NAME…]`: records the histories anew, on a stack of its own.

Do so when a workflow has changed on purpose and no run of the old code can be open any more, or for
a new scenario. Otherwise keep the old history and let the code take both ways (`patched`).
"""

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from adapters.mongo.carts import CartStore
from dev.stack.stack import SERVERS, Stack
from settings import Settings
from tests.conftest import settings_of_its_own
from tests.replay.common import ended
from tests.replay.histories import FOLDER, save
from tests.replay.scenarios import SCENARIOS
from tests.support.relays import relay_bench
from tests.support.shop import Shop, World
from tests.workflows.conftest import Bench
from workflows.gateway import connect


async def record(names: list[str], settings: Settings) -> None:
    """Brings each of these scenarios about and saves its history."""
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
                save(name, await run.fetch_history())
            print(f"recorded {name}")  # noqa: T201


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
