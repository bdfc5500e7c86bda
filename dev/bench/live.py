"""What live carts cost an add: adds with a thousand open streams and without, in turns.

`python -m dev.bench.live [--streams 1000] [--rounds 10] [--adds 50]`

One API process serves both the adds and the streams. Each add makes a cart, of a user who has a
stream where there are streams, so that it sends an event. Prints the ratio of a round, how soon the
events came, and the memory of the API.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cli.token import mint_token
from dev.bench.client import RawClient, UnexpectedAnswer, request
from dev.bench.data import CREATED, PRODUCTS, STORE, add_request, new_user, set_stock
from dev.bench.measure import compared, without_collector
from dev.bench.rig import local_stack
from dev.stack.stack import Stack
from settings import LOCALHOST, Settings

OPENED_AT_ONCE = 16
TIMEOUT_SECONDS = 60.0
MORE_CONNECTIONS = 100
PAUSE_SECONDS = 0.02


class Listener:
    """A client with an open stream. `seen` is set with each event, and notes its time."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.seen = asyncio.Event()
        self.seen_at = 0.0
        self._reading: asyncio.Task[None]
        self._writer: asyncio.StreamWriter

    async def open(self, settings: Settings) -> None:
        """Returns once the current cart has come."""
        reader, self._writer = await asyncio.open_connection(LOCALHOST, settings.port)
        token = mint_token(settings, user=self.user)
        self._writer.write(request("GET", f"/api/v1/cart/{STORE}/store/events", token=token))
        status = await reader.readline()
        if b" 200 " not in status:
            answer = (status + await reader.read(2000)).decode()
            raise UnexpectedAnswer(f"a stream was answered with {answer}")
        self._reading = asyncio.create_task(self._read(reader))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await self.seen.wait()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if line.startswith(b"event: cart"):
                self.seen_at = time.perf_counter()
                self.seen.set()

    async def close(self) -> None:
        self._writer.close()
        self._reading.cancel()
        await asyncio.wait({self._reading})


@asynccontextmanager
async def listening(settings: Settings, users: list[str]) -> AsyncIterator[dict[str, Listener]]:
    """An open stream of each user."""
    listeners = {user: Listener(user) for user in users}
    room = asyncio.Semaphore(OPENED_AT_ONCE)

    async def open_one(listener: Listener) -> None:
        async with room:
            await listener.open(settings)

    await asyncio.gather(*map(open_one, listeners.values()))
    try:
        yield listeners
    finally:
        await asyncio.gather(*(listener.close() for listener in listeners.values()))


async def round_of_adds(
    settings: Settings, client: RawClient, users: list[str], listeners: dict[str, Listener]
) -> tuple[float, list[float]]:
    """The median time of an add, and how long after its answer each event came, in milliseconds."""
    times, delays = [], []
    for number, user in enumerate(users):
        add = add_request(settings, user, f"product-{number % PRODUCTS}")
        listener = listeners.get(user)
        if listener is not None:
            listener.seen.clear()
        await asyncio.sleep(PAUSE_SECONDS)
        began = time.perf_counter()
        await client.send(add, expect=CREATED)
        answered = time.perf_counter()
        times.append((answered - began) * 1000)
        if listener is not None:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await listener.seen.wait()
            delays.append((listener.seen_at - answered) * 1000)
    return statistics.median(times), delays


def memory_of(stack: Stack) -> float:
    """Resident memory of the API, in MiB."""
    status = Path(f"/proc/{stack.process('api').pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def main(streams: int, rounds: int, adds: int) -> None:
    """The first round only warms up."""
    changed = {
        # Streams of the round before may still be ending.
        "LIVE_STREAMS": str(2 * streams),
        "MAX_CONNECTIONS": str(2 * streams + MORE_CONNECTIONS),
    }
    with_streams: list[float] = []
    without: list[float] = []
    delays: list[float] = []
    memory: list[str] = []
    async with local_stack(changed=changed) as stack:
        settings = stack.settings
        await set_stock(settings)
        async with RawClient(settings.port) as client:
            with without_collector():
                for number in range(rounds + 1):
                    users = [new_user() for _ in range(streams)]
                    others = [new_user() for _ in range(adds)]
                    took_without, _ = await round_of_adds(settings, client, others[::2], {})
                    async with listening(settings, users) as listeners:
                        open_memory = memory_of(stack)
                        took, seen = await round_of_adds(settings, client, users[:adds], listeners)
                        memory.append(f"{open_memory:.0f} to {memory_of(stack):.0f}")
                    took_after, _ = await round_of_adds(settings, client, others[1::2], {})
                    took_without = (took_without + took_after) / 2
                    if number:
                        with_streams.append(took)
                        without.append(took_without)
                        delays += seen
    print(f"add with {streams} streams, and without, ms: {compared(with_streams, without)}")
    print(f"event after the answer, ms: median {statistics.median(delays):.1f}, {max(delays):.1f}")
    print(f"memory of the API in each round, MiB: {', '.join(memory)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--adds", type=int, default=50)
    given = parser.parse_args()
    asyncio.run(main(given.streams, given.rounds, given.adds))
