"""Where the CPU time of an add goes: `make profile`.

`python -m dev.bench.profiling [--seconds 20] [--at-once 16] [--out build/profile]`

Prints the CPU time of each process for an add, and that of API and worker by part; writes their
flame graphs as SVG. Needs Linux, and the right to read the memory of one's own processes (py-spy).

Samples are of threads that hold Python's interpreter lock, so they show Python code and what it
calls, but no waiting. Temporal's own threads (Rust) are in the table by thread.
"""

import argparse
import asyncio
import itertools
import sys
from collections import defaultdict
from pathlib import Path

from dev.bench.client import RawClient, UnexpectedAnswer
from dev.bench.cpu import thread_seconds
from dev.bench.data import CREATED, PRODUCTS, add_request, new_user, set_stock
from dev.bench.parts import PARTS, samples_by_part
from dev.bench.rig import local_stack
from dev.stack.stack import Stack

PROCESSES = ("api", "worker", "consumer", "inventory", "temporal", "mongodb", "redis", "kafka")
PROFILED = ("api", "worker")
RATE = 250
# Linux cuts a thread's name after 15 characters; a thread of Python has the process's.
THREADS = {
    "main": "event loop",
    "python": "Python threads",
    "tokio-rt-worker": "Temporal's client",
    "workflow-proces": "Temporal's client",
}


class Load:
    """Adds to new carts, `at_once` concurrently. `adds` were answered, `failed` were not done in
    time, as happens on a machine that is busy with other work."""

    def __init__(self, stack: Stack, at_once: int) -> None:
        self._stack = stack
        self._at_once = at_once
        self._stopped = False
        self.adds = self.failed = 0
        self._products = itertools.cycle(f"product-{number}" for number in range(PRODUCTS))

    async def run(self) -> None:
        """Adds until `stop`."""
        async with asyncio.TaskGroup() as shoppers:
            for _ in range(self._at_once):
                shoppers.create_task(self._shop())

    def stop(self) -> None:
        self._stopped = True

    async def _shop(self) -> None:
        settings = self._stack.settings
        async with RawClient(settings.port) as client:
            while not self._stopped:
                request = add_request(settings, new_user(), next(self._products))
                try:
                    await client.send(request, expect=CREATED)
                except UnexpectedAnswer:
                    self.failed += 1
                else:
                    self.adds += 1


async def spy(pid: int, file: Path, kind: str, seconds: int) -> None:
    """Samples a process for some seconds."""
    spying = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).parent / "py-spy"), "record", "--pid", str(pid)),
        *("--duration", str(seconds), "--rate", str(RATE), "--gil", "--nonblocking"),
        *("--format", kind, "--output", str(file)),
        stdout=asyncio.subprocess.DEVNULL,
    )
    if await spying.wait():
        raise SystemExit(f"py-spy could not sample process {pid}")


def show_processes(used: dict[str, dict[str, float]], adds: int) -> None:
    """Prints the CPU time of each process, and of its threads."""
    print(f"\nCPU time for an add in milliseconds ({adds} adds)")
    for name, threads in used.items():
        by_use: defaultdict[str, float] = defaultdict(float)
        for thread, seconds in threads.items():
            by_use[THREADS.get(thread, "other threads") if name in PROFILED else "all"] += seconds
        shown = ", ".join(f"{use} {s / adds * 1000:.2f}" for use, s in by_use.items() if s)
        print(f"  {name:<10} {sum(threads.values()) / adds * 1000:6.2f}   {shown}")


def _since(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    return {name: seconds - before.get(name, 0.0) for name, seconds in now.items()}


def show_parts(used: dict[str, dict[str, float]], adds: int, folder: Path) -> None:
    """Prints the CPU time of Python threads by part, from the samples in `folder`."""
    samples = {
        name: samples_by_part((folder / f"{name}.txt").read_text().splitlines())
        for name in PROFILED
    }
    ms = {
        name: (used[name]["main"] + used[name].get("python", 0.0)) / adds * 1000
        for name in PROFILED
    }
    print(f"\n  {'Python threads, ms for an add':<30}" + "".join(f"{name:>10}" for name in samples))
    for part in PARTS:
        row = [counts[part] / counts.total() * ms[name] for name, counts in samples.items()]
        if any(row):
            print(f"  {part:<30}" + "".join(f"{value:10.2f}" for value in row))
    print(f"\nFlame graphs: {', '.join(str(folder / f'{name}.svg') for name in PROFILED)}")


async def main(seconds: int, at_once: int, folder: Path) -> None:
    """Profiles API and worker of a local stack."""
    async with local_stack() as stack:
        await set_stock(stack.settings)
        pids = {name: stack.process(name).pid for name in PROCESSES}
        load = Load(stack, at_once)
        loading = asyncio.create_task(load.run())
        await asyncio.sleep(seconds / 4)  # warms up
        before, adds = {name: thread_seconds(pid) for name, pid in pids.items()}, load.adds
        await asyncio.sleep(seconds)
        used = {name: _since(before[name], thread_seconds(pid)) for name, pid in pids.items()}
        adds = load.adds - adds
        # After the measurement, because sampling takes time itself.
        for kind, ending in (("raw", "txt"), ("flamegraph", "svg")):
            await asyncio.gather(
                *(spy(pids[one], folder / f"{one}.{ending}", kind, seconds) for one in PROFILED)
            )
        load.stop()
        await loading
    if load.failed:
        print(f"{load.failed} adds failed: the machine is too busy for the figures below")
    show_processes(used, adds)
    show_parts(used, adds, folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("build/profile"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(given.seconds, given.at_once, given.out))
