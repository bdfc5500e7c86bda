"""Measuring in turns: every round runs each contender once, in another order each time.

What disturbs the machine meanwhile disturbs all of them alike, so that their ratio stays.
"""

import asyncio
import gc
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

Operation = Callable[[], Awaitable[object]]
Prepare = Callable[[], Awaitable[Operation]]
"""Makes the next operation ready; what it does itself is not measured."""
Tick = Callable[[], None]

# What a contender leaves behind (an answered saga still publishes) must not fall to the next one.
SETTLE_SECONDS = 0.02
_PARTS = 5


class Samples:
    """Times of one contender in milliseconds, in the order in which they were taken."""

    def __init__(self, times: Sequence[float] = ()) -> None:
        self.times = list(times)

    @property
    def p50(self) -> float:
        return statistics.median(self.times)

    @property
    def p99(self) -> float:
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, round(len(ordered) * 0.99))]

    def parts(self) -> Iterator["Samples"]:
        """The samples in a few consecutive parts, to see how steady they are."""
        size = max(1, len(self.times) // _PARTS)
        for begin in range(0, size * _PARTS, size):
            if self.times[begin : begin + size]:
                yield Samples(self.times[begin : begin + size])


async def interleaved(
    contenders: Mapping[str, Prepare],
    *,
    rounds: int,
    warm_up: int,
    seconds: float,
    tick: Tick,
) -> dict[str, Samples]:
    """Measures each contender once in every round, one after the other.

    On a slow machine it ends after `seconds`, with fewer rounds.
    """
    deadline = time.monotonic() + seconds
    samples = {name: Samples() for name in contenders}
    order = list(contenders)
    shuffle = random.Random(0).shuffle  # noqa: S311 (an order, not a secret)
    with without_collector():
        for number in range(-warm_up, rounds):
            if time.monotonic() > deadline and number >= _PARTS:
                break
            shuffle(order)
            for name in order:
                operation = await contenders[name]()
                await asyncio.sleep(SETTLE_SECONDS)
                took = await timed(operation)
                if number >= 0:
                    samples[name].times.append(took)
            tick()
    return samples


async def timed(operation: Operation) -> float:
    """How long an operation takes, in milliseconds."""
    begun = time.perf_counter()
    await operation()
    return (time.perf_counter() - begun) * 1000


async def throughput(lines: Sequence[Operation], seconds: float) -> float:
    """Operations in a second: as many at once as there are lines, each again and again."""
    begun = time.perf_counter()

    async def work(line: Operation) -> int:
        done = 0
        while time.perf_counter() - begun < seconds:
            await line()
            done += 1
        return done

    done = await asyncio.gather(*map(work, lines))
    return sum(done) / (time.perf_counter() - begun)


@contextmanager
def without_collector() -> Iterator[None]:
    """Keeps Python's garbage collector of this process out of the figures."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
