"""The whole run: what is measured against what, in which order, and how often."""

import asyncio
import statistics
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from dev.bench.changes import MANY, PAGE, Changes
from dev.bench.client import RawClient
from dev.bench.contenders import PRODUCTS, Contenders, repeat
from dev.bench.rig import Rig
from dev.bench.rounds import (
    SETTLE_SECONDS,
    Prepare,
    Samples,
    Tick,
    interleaved,
    throughput,
    timed,
    without_collector,
)

AT_ONCE = (1, 8, 32)
_RECOVERY_SECONDS = 2.0  # of the breakers, and of whoever listens


@dataclass(frozen=True)
class Size:
    """How much is measured; `phases` of an outage are healthy and down in turns."""

    rounds: int
    seconds: float
    warm_up: int
    blocks: int
    block_seconds: float
    phases: int
    phase_operations: int


FULL = Size(
    rounds=150,
    seconds=90,
    warm_up=20,
    blocks=5,
    block_seconds=1.5,
    phases=3,
    phase_operations=25,
)
QUICK = Size(
    rounds=40,
    seconds=14,
    warm_up=8,
    blocks=2,
    block_seconds=0.6,
    phases=1,
    phase_operations=10,
)


@dataclass
class Figures:
    """What came out: ratios, how far they spread over parts of the run, and what they are of."""

    ratios: dict[str, float] = field(default_factory=dict)
    spread: dict[str, tuple[float, float]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def compare(self, name: str, of: Samples, to: Samples) -> None:
        """Sets the ratio of two medians."""
        self.ratios[name] = of.p50 / to.p50
        parts = [a.p50 / b.p50 for a, b in zip(of.parts(), to.parts(), strict=True)]
        self.spread[name] = (min(parts), max(parts))

    def detail(self, name: str, samples: Samples) -> None:
        """Keeps the times behind a ratio, in milliseconds."""
        self.details[name] = {"p50": samples.p50, "p99": samples.p99, "n": len(samples.times)}


def ticks(size: Size) -> int:
    """How many ticks a run makes, for a display of its progress."""
    blocks = size.blocks * len(AT_ONCE) * 2
    return size.rounds + size.warm_up + blocks + 2 * (2 * size.phases + 1) * size.phase_operations


async def measure(rig: Rig, size: Size, tick: Tick) -> Figures:
    """Runs everything on a running stack."""
    figures = Figures()
    async with RawClient(rig.port) as api, RawClient(rig.bench_port) as bench:
        contenders = Contenders(rig, api, bench)
        await contenders.stock()
        changes = Changes(contenders, api)
        await _latencies(contenders, changes, size, tick, figures)
        await _throughputs(rig, contenders, size, tick, figures)
        saga, noop = await contenders.transitions()
        figures.ratios["transitions_per_operation"] = float(saga)
        figures.details["noop_transitions"] = noop
        for name in ("update", "remove"):
            figures.ratios[f"transitions_per_{name}"] = float(await changes.transitions(name))
        for server in ("kafka", "redis"):
            healthy, down = await _outage(rig, contenders.add, server, size, tick)
            figures.detail(f"{server}_healthy", healthy)
            figures.detail(f"{server}_down", down)
            figures.compare(f"add_{server}_down_over_healthy", down, healthy)
    return figures


async def _latencies(
    contenders: Contenders,
    changes: Changes,
    size: Size,
    tick: Tick,
    figures: Figures,
) -> None:
    # Of a product that no add takes: each drops what is cached of its stock.
    reader, _ = await contenders.cart_with(1, first=PRODUCTS)
    runners: Mapping[str, Prepare] = {
        "add": contenders.add,
        "update": changes.update,
        "remove": changes.remove,
        "noop": contenders.noop,
        "direct": contenders.direct,
        "saga_result": contenders.saga_result,
        "noop_result": contenders.noop_result,
        "add_to_1_line": await contenders.add_to_cart_of(1),
        "add_to_100_lines": await contenders.add_to_cart_of(100),
        "two_to_one_cart": contenders.adds(carts=1),
        "two_to_two_carts": contenders.adds(carts=2),
        "read": contenders.read(reader),
        "live": contenders.live(),
        "empty": contenders.empty(reader),
        "page_of_100": await changes.admin_page(carts=PAGE),
        "page_of_100000": await changes.admin_page(carts=MANY),
    }
    samples = await interleaved(
        runners, rounds=size.rounds, warm_up=size.warm_up, seconds=size.seconds, tick=tick
    )
    for name, taken in samples.items():
        figures.detail(name, taken)
    for ratio, (of, to) in {
        "add_over_noop_p50": ("add", "noop"),
        "saga_over_noop_p50": ("saga_result", "noop_result"),
        "back_to_back_over_add": ("two_to_one_cart", "two_to_two_carts"),
        "answer_over_direct": ("add", "direct"),
        "cart_100_over_1": ("add_to_100_lines", "add_to_1_line"),
        "read_over_empty": ("read", "empty"),
        "update_over_add": ("update", "add"),
        "remove_over_add": ("remove", "add"),
        "admin_page_100000_over_100": ("page_of_100000", "page_of_100"),
    }.items():
        figures.compare(ratio, samples[of], samples[to])


async def _throughputs(
    rig: Rig, contenders: Contenders, size: Size, tick: Tick, figures: Figures
) -> None:
    rates: dict[tuple[str, int], list[float]] = {}
    async with AsyncExitStack() as opened:
        clients = {
            name: [await opened.enter_async_context(RawClient(port)) for _ in range(max(AT_ONCE))]
            for name, port in (("add", rig.port), ("noop", rig.bench_port))
        }
        paths = {"add": "/api/v1/cart", "noop": "/noop"}
        with without_collector():
            for block in range(size.blocks):
                for at_once in AT_ONCE:
                    for name in sorted(paths, reverse=bool(block % 2)):
                        lines = [
                            contenders.line(client, paths[name])
                            for client in clients[name][:at_once]
                        ]
                        await asyncio.sleep(0.2)
                        rate = await throughput(lines, size.block_seconds)
                        rates.setdefault((name, at_once), []).append(rate)
                        tick()
    figures.details["throughput"] = {
        name: {str(n): statistics.median(rates[name, n]) for n in AT_ONCE} for name in paths
    }
    top = max(AT_ONCE)
    parts = [a / b for a, b in zip(rates["add", top], rates["noop", top], strict=True)]
    figures.ratios["throughput_over_noop"] = statistics.median(parts)
    figures.spread["throughput_over_noop"] = (min(parts), max(parts))


async def _outage(
    rig: Rig, add: Prepare, server: str, size: Size, tick: Tick
) -> tuple[Samples, Samples]:
    """Adds while a server is there, in turns with adds while it is down."""
    healthy, down = Samples(), Samples()

    async def phase(samples: Samples) -> None:
        await repeat(add, 5, pause=SETTLE_SECONDS)
        with without_collector():
            for _ in range(size.phase_operations):
                operation = await add()
                await asyncio.sleep(SETTLE_SECONDS)
                samples.times.append(await timed(operation))
                tick()

    await phase(healthy)
    for _ in range(size.phases):
        await rig.stack.kill(server, restart=False)
        await phase(down)
        await rig.stack.start_again(server)
        await asyncio.sleep(_RECOVERY_SECONDS)
        await phase(healthy)
    return healthy, down
