"""How throughput grows with the number of APIs and workers.

`python -m dev.bench.scaling [--share 0.1] [--seconds 15] [--at-once 48]`

Each process gets the same share of a core, so that one machine can show what several would do: a
process that has used more is stopped until its share has caught up (SIGSTOP). The servers and the
inventory are not limited. What counts is how the numbers grow, not how large they are.
"""

import argparse
import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from unittest.mock import patch

from dev.bench.client import RawClient
from dev.bench.cpu import thread_seconds
from dev.bench.data import CREATED, PRODUCTS, add_request, new_user, set_stock
from dev.bench.rig import local_stack
from dev.stack.apps import SERVERS, app_specs
from dev.stack.ports import more_free_ports
from dev.stack.process import ProcessSpec
from dev.stack.stack import Stack
from dev.stack.supervisor import Supervisor
from settings import Settings, load_settings

CONFIGURATIONS = ((1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3))
"""Numbers of APIs and workers."""
LOOK_SECONDS = 0.01
WARM_UP_SECONDS = 4.0


class Limit:
    """Keeps a process at a share of a core."""

    def __init__(self, pid: int, share: float) -> None:
        self._pid = pid
        self._share = share

    async def run(self) -> None:
        """Stops and continues the process, until cancelled."""
        began, before, stopped = time.monotonic(), self._used(), False
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                ahead = self._used() - before > (time.monotonic() - began) * self._share
                if ahead != stopped:
                    os.kill(self._pid, signal.SIGSTOP if ahead else signal.SIGCONT)
                    stopped = ahead
        finally:
            os.kill(self._pid, signal.SIGCONT)

    def _used(self) -> float:
        return sum(thread_seconds(self._pid).values())


def specs_of(
    stack: Stack, numbers: Mapping[str, int], **more: str
) -> Iterator[tuple[Settings, ProcessSpec]]:
    """So many processes of each name, on ports of their own; `more` are their settings."""
    for name, count in numbers.items():
        for number in range(count):
            port, metrics_port = map(str, more_free_ports(2))
            changed = {
                "PORT": port,
                "WORKER_METRICS_PORT": metrics_port,
                "CONSUMER_METRICS_PORT": metrics_port,
                **more,
            }
            with patch.dict(os.environ, changed):
                settings = load_settings()
            [spec] = [
                spec for spec in app_specs(settings, stack.env | changed) if spec.name == name
            ]
            yield settings, replace(spec, name=f"{name}-{number}", needs=frozenset())


@asynccontextmanager
async def limited(pids: Sequence[int], share: float) -> AsyncIterator[None]:
    """Limits processes while the block runs."""
    limits = [asyncio.create_task(Limit(pid, share).run()) for pid in pids]
    try:
        yield
    finally:
        for limit in limits:
            limit.cancel()
        await asyncio.gather(*limits, return_exceptions=True)


async def adds_per_second(apis: Sequence[Settings], at_once: int, seconds: float) -> float:
    """How many adds to new carts are answered in a second, by all APIs together."""
    answered = 0
    deadline = time.monotonic() + seconds

    async def shopper(number: int) -> None:
        nonlocal answered
        settings = apis[number % len(apis)]
        async with RawClient(settings.port) as client:
            while time.monotonic() < deadline:
                product = f"product-{(answered + number) % PRODUCTS}"
                await client.send(add_request(settings, new_user(), product), expect=CREATED)
                answered += 1

    await asyncio.gather(*map(shopper, range(at_once)))
    return answered / (time.monotonic() - deadline + seconds)


async def main(share: float, seconds: float, at_once: int) -> None:
    """Measures each configuration."""
    async with local_stack(lambda _: None, parts=(*SERVERS, "inventory")) as stack:
        await set_stock(stack.settings)
        first = 0.0
        for apis, workers in CONFIGURATIONS:
            queue = f"scaling-{apis}-{workers}"
            found = list(
                specs_of(
                    stack,
                    {"worker": workers, "api": apis},
                    TEMPORAL_TASK_QUEUE=queue,
                    OPERATION_WAIT_SECONDS="60",  # a limited service is slow
                    LOCK_TTL="60",
                )
            )
            ports = [settings for settings, spec in found if spec.name.startswith("api")]
            specs = [spec for _, spec in found]
            async with Supervisor(specs, log_dir=stack.local_dir / queue) as supervisor:
                pids = [supervisor.process(spec.name).pid for spec in specs]
                async with limited(pids, share):
                    await adds_per_second(ports, at_once, WARM_UP_SECONDS)
                    rate = await adds_per_second(ports, at_once, seconds)
            first = first or rate
            print(f"{apis} API, {workers} worker: {rate:6.1f} adds a second, {rate / first:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--at-once", type=int, default=48)
    given = parser.parse_args()
    asyncio.run(main(given.share, given.seconds, given.at_once))
