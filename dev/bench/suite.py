"""The measurements of `cart bench`, in order."""

import asyncio
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from dev.bench.client import RawClient
from dev.bench.costs import Cost, counters, own_cpu_over_direct
from dev.bench.data import set_stock
from dev.bench.measure import (
    Prepare,
    Samples,
    Tick,
    interleaved,
    settled_time,
    throughput,
    without_collector,
)
from dev.bench.operations import Operations
from dev.bench.rig import Rig

AT_ONCE = (1, 8, 32)
COUNTED = ("add", "update", "remove", "read")
PATHS = {"add": "/api/v1/cart", "noop": "/noop"}
_RECOVERY_SECONDS = 2.0  # until breakers close and clients have reconnected
_WARM_UP = 5  # adds at the start of a phase
# Ratios of two operations' medians.
RATIOS = {
    "add_over_noop_p50": ("add", "noop"),
    "saga_over_noop_p50": ("saga_result", "noop_result"),
    "back_to_back_over_add": ("two_to_one_cart", "two_to_two_carts"),
    "answer_over_direct": ("add", "direct"),
    "cart_100_over_1": ("add_to_100_lines", "add_to_1_line"),
    "read_over_empty": ("read", "empty"),
    "update_over_add": ("update", "add"),
    "remove_over_add": ("remove", "add"),
    "admin_page_100000_over_100": ("page_of_100000", "page_of_100"),
}


@dataclass(frozen=True)
class Size:
    """How much is measured. An outage alternates `phases` of a server being up and down."""

    rounds: int = 150
    seconds: float = 90
    warm_up: int = 20
    blocks: int = 5
    block_seconds: float = 1.5
    phases: int = 3
    phase_operations: int = 25
    cpu_rounds: int = 5
    cpu_adds: int = 200
    counted: int = 40

    @property
    def ticks(self) -> int:
        """The number of ticks of a run, for a progress bar."""
        blocks = self.blocks * len(AT_ONCE) * len(PATHS)
        phases = 2 * (2 * self.phases + 1)
        costs = self.cpu_rounds + 1 + len(COUNTED)
        return self.rounds + self.warm_up + blocks + costs + phases * self.phase_operations


FULL = Size()
QUICK = Size(
    *(40, 14, 8),
    blocks=2,
    block_seconds=0.6,
    phases=1,
    phase_operations=10,
    cpu_rounds=2,
    cpu_adds=100,
    counted=20,
)


@dataclass
class Figures:
    """Ratios, their spread over parts of the run, the times behind them, and costs."""

    ratios: dict[str, float] = field(default_factory=dict)
    spread: dict[str, tuple[float, float]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)

    def compare(self, name: str, of: Samples, to: Samples) -> None:
        """Sets a ratio of two medians."""
        self.ratios[name] = of.p50 / to.p50
        parts = [a.p50 / b.p50 for a, b in zip(of.parts(), to.parts(), strict=True)]
        self.spread[name] = (min(parts), max(parts))

    def median(self, name: str, parts: Sequence[float]) -> None:
        """Sets a ratio that was measured in several parts."""
        self.ratios[name] = statistics.median(parts)
        self.spread[name] = (min(parts), max(parts))

    def detail(self, name: str, samples: Samples) -> None:
        """Keeps the times of an operation, in milliseconds."""
        self.details[name] = {"p50": samples.p50, "p99": samples.p99, "n": len(samples.times)}


async def measure(rig: Rig, size: Size, tick: Tick) -> Figures:
    """Runs all measurements."""
    figures = Figures()
    await set_stock(rig.settings)
    async with RawClient(rig.settings.port) as api, RawClient(rig.bench_port) as bench:
        operations = Operations(rig, api, bench)
        await _latencies(operations, size, tick, figures)
        await _throughputs(rig, operations, size, tick, figures)
        await _costs(rig, operations, size, tick, figures)
        for name in ("operation", "update", "remove"):
            figures.ratios[f"transitions_per_{name}"] = float(await operations.transitions(name))
        figures.details["noop_transitions"] = await operations.transitions("noop")
        for server in ("kafka", "redis"):
            healthy, down = await _outage(rig, operations.add, server, size, tick)
            figures.detail(f"{server}_healthy", healthy)
            figures.detail(f"{server}_down", down)
            figures.compare(f"add_{server}_down_over_healthy", down, healthy)
    return figures


async def _latencies(operations: Operations, size: Size, tick: Tick, figures: Figures) -> None:
    prepares: Mapping[str, Prepare] = {
        "add": operations.add,
        "update": operations.update,
        "remove": operations.remove,
        "noop": operations.noop,
        "direct": operations.direct,
        "saga_result": operations.saga_result,
        "noop_result": operations.noop_result,
        "add_to_1_line": await operations.add_to_cart_of(1),
        "add_to_100_lines": await operations.add_to_cart_of(100),
        "two_to_one_cart": operations.adds(carts=1),
        "two_to_two_carts": operations.adds(carts=2),
        **await operations.reads(),
        "page_of_100": await operations.admin_page(carts=100),
        "page_of_100000": await operations.admin_page(carts=100_000),
    }
    samples = await interleaved(
        prepares, rounds=size.rounds, warm_up=size.warm_up, seconds=size.seconds, tick=tick
    )
    for name, taken in samples.items():
        figures.detail(name, taken)
    for ratio, (of, to) in RATIOS.items():
        figures.compare(ratio, samples[of], samples[to])


async def _throughputs(
    rig: Rig, operations: Operations, size: Size, tick: Tick, figures: Figures
) -> None:
    rates: dict[tuple[str, int], list[float]] = {}
    times: dict[tuple[str, int], Samples] = defaultdict(Samples)
    adds: dict[str, list[Prepare]] = {}
    async with AsyncExitStack() as opened:
        for name, port in (("add", rig.settings.port), ("noop", rig.bench_port)):
            clients = [RawClient(port) for _ in range(max(AT_ONCE))]
            adds[name] = [
                operations.adding(await opened.enter_async_context(client), PATHS[name])
                for client in clients
            ]
        with without_collector():
            for block in range(size.blocks):
                for at_once in AT_ONCE:
                    for name in sorted(PATHS, reverse=bool(block % 2)):
                        await asyncio.sleep(0.2)
                        rate, samples = await throughput(adds[name][:at_once], size.block_seconds)
                        times[name, at_once].times += samples.times
                        rates.setdefault((name, at_once), []).append(rate)
                        tick()
    figures.details["throughput"] = {
        name: {str(n): statistics.median(rates[name, n]) for n in AT_ONCE} for name in PATHS
    }
    for (name, at_once), samples in times.items():
        figures.detail(f"{name}_{at_once}_at_once", samples)
    top = max(AT_ONCE)
    parts = [a / b for a, b in zip(rates["add", top], rates["noop", top], strict=True)]
    figures.median("throughput_over_noop", parts)


async def _costs(
    rig: Rig, operations: Operations, size: Size, tick: Tick, figures: Figures
) -> None:
    ratios = await own_cpu_over_direct(
        rig, operations, rounds=size.cpu_rounds, adds=size.cpu_adds, tick=tick
    )
    figures.median("own_cpu_over_direct", ratios)
    prepares = {
        "add": operations.add,
        "update": operations.update,
        "remove": operations.remove,
        "read": (await operations.reads())["read"],
    }
    async with counters(rig) as counting:
        for name in COUNTED:
            figures.costs[name] = await counting.cost(prepares[name], size.counted)
            tick()


async def _outage(
    rig: Rig, add: Prepare, server: str, size: Size, tick: Tick
) -> tuple[Samples, Samples]:
    """Adds while a server is up, alternating with adds while it is down."""
    healthy, down = Samples(), Samples()

    async def phase(samples: Samples) -> None:
        for _ in range(_WARM_UP):
            await settled_time(add)
        with without_collector():
            for _ in range(size.phase_operations):
                samples.times.append(await settled_time(add))
                tick()

    await phase(healthy)
    for _ in range(size.phases):
        await rig.stack.kill(server, restart=False)
        await phase(down)
        await rig.stack.start_again(server)
        await asyncio.sleep(_RECOVERY_SECONDS)
        await phase(healthy)
    return healthy, down
