"""The cost of metrics: adds to a service with metrics on and to one with metrics off, in turns.

`python -m dev.bench.observing [--rounds 20] [--adds 100] [--at-once 16]`

Both services, an API and a worker each, run on one local stack. Ratios are those of a round.
"""

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from unittest.mock import patch

from dev.bench.client import RawClient
from dev.bench.cpu import cpu_seconds
from dev.bench.data import CREATED, PRODUCTS, add_request, new_user, set_stock
from dev.bench.measure import compared
from dev.bench.rig import local_stack
from dev.stack.apps import SERVERS, app_specs
from dev.stack.ports import free_ports
from dev.stack.stack import Stack
from dev.stack.supervisor import Supervisor
from settings import Settings, load_settings


@dataclass
class Service:
    """An API and a worker, with the adds per second and CPU time per add of each round."""

    settings: Settings
    supervisor: Supervisor
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def cpu_seconds(self) -> float:
        """CPU time of both processes so far."""
        return cpu_seconds(self.supervisor.process(name).pid for name in ("api", "worker"))

    async def round(self, adds: int, at_once: int, *, warm_up: bool) -> None:
        """Adds to new carts, `at_once` concurrently."""
        waiting = [
            add_request(self.settings, new_user(), f"product-{number % PRODUCTS}")
            for number in range(adds)
        ]
        cpu, begin = self.cpu_seconds(), time.perf_counter()

        async def shopper() -> None:
            async with RawClient(self.settings.port) as client:
                while waiting:
                    await client.send(waiting.pop(), expect=CREATED)

        await asyncio.gather(*(shopper() for _ in range(at_once)))
        if not warm_up:
            self.rates.append(adds / (time.perf_counter() - begin))
            self.cpu_ms.append((self.cpu_seconds() - cpu) / adds * 1000)


@asynccontextmanager
async def service(stack: Stack, name: str, *, metrics: bool) -> AsyncIterator[Service]:
    """An API and a worker with their own task queue and ports."""
    ports = free_ports()
    changed = {setting: str(ports[setting]) for setting in ("PORT", "WORKER_METRICS_PORT")}
    changed |= {"TEMPORAL_TASK_QUEUE": name, "ENABLE_METRICS": str(metrics)}
    with patch.dict(os.environ, changed):
        settings = load_settings()
    specs = [
        replace(spec, needs=frozenset())
        for spec in app_specs(settings, stack.env | changed)
        if spec.name in {"api", "worker"}
    ]
    async with Supervisor(specs, log_dir=stack.local_dir / name, echo=print) as supervisor:
        yield Service(settings, supervisor)


async def main(rounds: int, adds: int, at_once: int) -> None:
    """Runs both services in turns; the first round only warms them up."""
    async with local_stack(parts=(*SERVERS, "inventory")) as stack:
        await set_stock(stack.settings)
        async with (
            service(stack, "on", metrics=True) as on,
            service(stack, "off", metrics=False) as off,
        ):
            for number in range(rounds + 1):
                for one in (on, off) if number % 2 else (off, on):
                    await one.round(adds, at_once, warm_up=number == 0)
    print(f"adds per second with metrics on and off: {compared(on.rates, off.rates)}")
    print(f"CPU ms of API and worker per add, on and off: {compared(on.cpu_ms, off.cpu_ms)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--adds", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=16)
    given = parser.parse_args()
    asyncio.run(main(given.rounds, given.adds, given.at_once))
