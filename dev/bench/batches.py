"""The cost of a batch of 20 products, compared with an add: answer and CPU time, in turns.

`python -m dev.bench.batches [--rounds 20] [--operations 10]`

CPU time is that of all processes of one local stack, servers included. Ratios are those of a round.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence

from cli.token import mint_token
from dev.bench.client import RawClient, request
from dev.bench.cpu import cpu_seconds
from dev.bench.data import CREATED, ITEM, PRODUCTS, STORE, add_request, new_user, set_stock
from dev.bench.measure import compared
from dev.bench.rig import local_stack
from dev.stack.apps import APPS, SERVERS
from dev.stack.stack import Stack

SIZE = 20
SETTLE_SECONDS = 1.0
"""Events and notes follow an answer."""


def batch_request(stack: Stack, first: int) -> bytes:
    """Adds `SIZE` products to a new cart."""
    operations = [
        {"op": "add", "productId": f"product-{(first + number) % PRODUCTS}", **ITEM}
        for number in range(SIZE)
    ]
    token = mint_token(stack.settings, user=new_user(), name="Ada Lovelace")
    path = f"/api/v1/cart/{STORE}/store/batch"
    return request("POST", path, token=token, body={"operations": operations})


async def round_of(
    stack: Stack, client: RawClient, requests: Sequence[bytes]
) -> tuple[float, float]:
    """The median time of an answer, and the CPU time of an operation, in milliseconds."""
    pids = [stack.process(name).pid for name in (*SERVERS, *APPS)]
    times, cpu = [], cpu_seconds(pids)
    for one in requests:
        begin = time.perf_counter()
        await client.send(one, expect=CREATED)
        times.append((time.perf_counter() - begin) * 1000)
    await asyncio.sleep(SETTLE_SECONDS)
    return statistics.median(times), (cpu_seconds(pids) - cpu) / len(requests) * 1000


async def main(rounds: int, operations: int) -> None:
    """Runs both in turns; the first round only warms them up."""
    answers: dict[str, list[float]] = {"batch": [], "add": []}
    cpu: dict[str, list[float]] = {"batch": [], "add": []}
    async with local_stack() as stack, RawClient(stack.settings.port) as client:
        await set_stock(stack.settings)
        for number in range(rounds + 1):
            for name in sorted(answers, reverse=bool(number % 2)):
                requests = [
                    batch_request(stack, index * SIZE)
                    if name == "batch"
                    else add_request(stack.settings, new_user(), f"product-{index}")
                    for index in range(operations)
                ]
                answer, used = await round_of(stack, client, requests)
                if number:
                    answers[name].append(answer)
                    cpu[name].append(used)
    print(f"answer to a batch of {SIZE} and to an add, in ms: {compared(*answers.values())}")
    print(f"CPU ms of a batch of {SIZE} and of an add: {compared(*cpu.values())}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--operations", type=int, default=10)
    given = parser.parse_args()
    asyncio.run(main(given.rounds, given.operations))
