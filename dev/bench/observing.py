"""What it costs to be observed: adds with the metrics on, and off, in turns. By hand.

`python -m dev.bench.observing [--rounds 20] [--adds 100] [--at-once 16]`

On a local stack of its own, with two services beside each other: an API and a worker that measure,
and an API and a worker that do not. Each round has both, and the ratios are those of a round.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from dev.bench.client import RawClient
from dev.bench.contenders import PRODUCTS, add_request, fill_shelves, new_user, token_of
from dev.bench.rig import environment
from dev.stack import apps
from dev.stack.ports import free_ports
from dev.stack.stack import SERVERS, Stack
from dev.stack.supervisor import Supervisor
from settings import Settings, load_settings

TICKS = os.sysconf("SC_CLK_TCK")
_CREATED = 201


@dataclass
class Service:
    """An API and a worker; what a round of adds took them, in adds a second and in CPU time."""

    name: str
    settings: Settings
    supervisor: Supervisor
    rates: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def cpu_seconds(self) -> float:
        """What both processes have used so far."""
        pids = [self.supervisor.process(name).pid for name in ("api", "worker")]
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        return sum(int(stat[11]) + int(stat[12]) for stat in stats) / TICKS

    async def round(self, adds: int, at_once: int, *, counts: bool) -> None:
        """Adds to carts of their own, `at_once` at a time."""
        waiting = [self._add(number) for number in range(adds)]
        cpu, began = self.cpu_seconds(), time.perf_counter()

        async def buyer() -> None:
            async with RawClient(self.settings.port) as client:
                while waiting:
                    await client.send(waiting.pop(), expect=_CREATED)

        await asyncio.gather(*(buyer() for _ in range(at_once)))
        if counts:
            self.rates.append(adds / (time.perf_counter() - began))
            self.cpu_ms.append((self.cpu_seconds() - cpu) / adds * 1000)

    def _add(self, number: int) -> bytes:
        token = token_of(self.settings, new_user())
        return add_request(f"product-{number % PRODUCTS}", token=token)


@asynccontextmanager
async def service(stack: Stack, name: str, **changed: object) -> AsyncIterator[Service]:
    """An API and a worker on a task queue and ports of their own."""
    ports = {key: free_ports()[key] for key in ("PORT", "WORKER_METRICS_PORT")}
    changed |= {key.lower(): port for key, port in ports.items()} | {"temporal_task_queue": name}
    settings = stack.settings.model_copy(update=changed)
    env = stack.env | {key.upper(): str(value) for key, value in changed.items()}
    specs = [replace(make(settings, env), needs=frozenset()) for make in (apps.worker, apps.api)]
    supervisor = Supervisor(specs, log_dir=stack.local_dir / name, echo=print)
    await supervisor.start()
    try:
        yield Service(name, settings, supervisor)
    finally:
        await supervisor.stop()


async def main(rounds: int, adds: int, at_once: int) -> None:
    """Both in turns; the first round only warms them up."""
    with tempfile.TemporaryDirectory(prefix="cart-observing-") as folder, environment(Path(folder)):
        settings = load_settings()
        async with AsyncExitStack() as running:
            parts = (*SERVERS, "inventory")
            stack = await running.enter_async_context(Stack(settings, echo=print, parts=parts))
            await fill_shelves(settings)
            on, off = [
                await running.enter_async_context(service(stack, name, enable_metrics=measures))
                for name, measures in (("on", True), ("off", False))
            ]
            for number in range(rounds + 1):
                for one in (on, off) if number % 2 else (off, on):
                    await one.round(adds, at_once, counts=number > 0)
    _tell("adds a second", on.rates, off.rates)
    _tell("CPU ms of API and worker for an add", on.cpu_ms, off.cpu_ms)


def _tell(what: str, on: list[float], off: list[float]) -> None:
    ratios = sorted(one / other for one, other in zip(on, off, strict=True))
    low, high = ratios[len(ratios) // 4], ratios[-len(ratios) // 4]
    print(
        f"{what}: {statistics.median(on):.2f} on, {statistics.median(off):.2f} off; "
        f"ratio {statistics.median(ratios):.3f} (half of the rounds {low:.3f} to {high:.3f})"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--adds", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=16)
    given = parser.parse_args()
    asyncio.run(main(given.rounds, given.adds, given.at_once))
