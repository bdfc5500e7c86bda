"""Interleaved measurements: each round runs every operation once, in a shuffled order.

Interference from the machine then affects all operations alike, and their ratios stay.
"""

import asyncio
import gc
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

Operation = Callable[[], Awaitable[object]]
Prepare = Callable[[], Awaitable[Operation]]
"""Prepares the next operation; the preparation is not measured."""
Tick = Callable[[], None]

# Work that continues after an answer (publishing an event) must not affect the next operation.
SETTLE_SECONDS = 0.02
_PARTS = 5


@dataclass
class Samples:
    """Times of one operation in milliseconds, in the order in which they were taken."""

    times: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        return statistics.median(self.times)

    @property
    def p99(self) -> float:
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, round(len(ordered) * 0.99))]

    def parts(self) -> Iterator["Samples"]:
        """Consecutive parts, to see how steady the samples are."""
        size = max(1, len(self.times) // _PARTS)
        for begin in range(0, size * _PARTS, size):
            if self.times[begin : begin + size]:
                yield Samples(self.times[begin : begin + size])


async def interleaved(
    prepares: Mapping[str, Prepare], *, rounds: int, warm_up: int, seconds: float, tick: Tick
) -> dict[str, Samples]:
    """Measures each operation once a round; ends early after `seconds`."""
    deadline = time.monotonic() + seconds
    samples = {name: Samples() for name in prepares}
    order = list(prepares)
    shuffle = random.Random(0).shuffle  # noqa: S311 (an order, not a secret)
    with without_collector():
        for number in range(-warm_up, rounds):
            if time.monotonic() > deadline and number >= _PARTS:
                break
            shuffle(order)
            for name in order:
                took = await settled_time(prepares[name])
                if number >= 0:
                    samples[name].times.append(took)
            tick()
    return samples


async def settled_time(prepare: Prepare) -> float:
    """Milliseconds that the next operation takes, without its preparation."""
    operation = await prepare()
    await asyncio.sleep(SETTLE_SECONDS)
    begin = time.perf_counter()
    await operation()
    return (time.perf_counter() - begin) * 1000


async def throughput(prepares: Sequence[Prepare], seconds: float) -> tuple[float, Samples]:
    """Operations per second, with their preparation, when all are repeated concurrently; and the
    time that each took."""
    samples = Samples()
    begin = time.perf_counter()

    async def repeat(prepare: Prepare) -> None:
        while time.perf_counter() - begin < seconds:
            operation = await prepare()
            started = time.perf_counter()
            await operation()
            samples.times.append((time.perf_counter() - started) * 1000)

    await asyncio.gather(*map(repeat, prepares))
    return len(samples.times) / (time.perf_counter() - begin), samples


@contextmanager
def without_collector() -> Iterator[None]:
    """Turns the garbage collector of this process off."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def compared(ones: Sequence[float], others: Sequence[float]) -> str:
    """The medians of two series of rounds, and the median and quartiles of their ratios."""
    ratios = [one / other for one, other in zip(ones, others, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return (
        f"{statistics.median(ones):.2f} and {statistics.median(others):.2f}; "
        f"ratio {median:.3f} (half of the rounds {low:.3f} to {high:.3f})"
    )
