"""Two kinds of requests to one local stack, in turns: the answer and the CPU time of each.

CPU time is that of all processes of the stack, servers included.
"""

import asyncio
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from dev.bench.client import RawClient
from dev.bench.cpu import cpu_seconds
from dev.bench.data import CREATED
from dev.bench.measure import compared
from dev.stack.apps import APPS, SERVERS
from dev.stack.stack import Stack

SETTLE_SECONDS = 1.0
"""Events and notes follow an answer."""


async def in_turns(
    stack: Stack,
    client: RawClient,
    requests: Mapping[str, Callable[[], Sequence[bytes]]],
    *,
    rounds: int,
) -> None:
    """Sends the requests that each function makes, and prints both kinds with their ratios, which
    are those of a round; the first round only warms them up."""
    answers: dict[str, list[float]] = {name: [] for name in requests}
    cpu: dict[str, list[float]] = {name: [] for name in requests}
    for number in range(rounds + 1):
        for name in sorted(requests, reverse=bool(number % 2)):
            answer, used = await _round_of(stack, client, requests[name]())
            if number:
                answers[name].append(answer)
                cpu[name].append(used)
    names = " and of ".join(requests)
    print(f"ms until the answer of {names}: {compared(*answers.values())}")
    print(f"CPU ms of {names}: {compared(*cpu.values())}")


async def _round_of(
    stack: Stack, client: RawClient, requests: Sequence[bytes]
) -> tuple[float, float]:
    """The median time of an answer, and the CPU time of a request, in milliseconds."""
    pids = [stack.process(name).pid for name in (*SERVERS, *APPS)]
    times, cpu = [], cpu_seconds(pids)
    for one in requests:
        begin = time.perf_counter()
        await client.send(one, expect=CREATED)
        times.append((time.perf_counter() - begin) * 1000)
    await asyncio.sleep(SETTLE_SECONDS)
    return statistics.median(times), (cpu_seconds(pids) - cpu) / len(requests) * 1000
