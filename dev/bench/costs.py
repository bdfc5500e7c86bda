"""What operations cost: CPU time, commands to MongoDB and Redis, bytes written."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from dev.bench.client import RawClient
from dev.bench.cpu import cpu_seconds
from dev.bench.measure import Operation, Prepare, Tick
from dev.bench.operations import Operations
from dev.bench.rig import Rig

AT_ONCE = 8
SETTLE_SECONDS = 0.5  # the event and its mark follow the answer
SERVICE = {"cart-api", "cart-worker"}  # names of the clients of MongoDB
# Commands of operations; the rest is the work of schedules and gauges.
COMMANDS = ("find", "insert", "update", "delete", "findAndModify")
COLLECTIONS = ("carts", "operations", "answers")
_REDIS_COMMANDS = {"set", "get", "del", "publish", "evalsha", "eval"}


@dataclass
class Cost:
    """The cost of one operation. `bytes_written` are those of MongoDB's journal and Redis's input;
    `commands` those of the API and the worker, without the inventory's."""

    commands: dict[str, float]
    bytes_written: dict[str, float]


async def own_cpu_over_direct(
    rig: Rig, operations: Operations, *, rounds: int, adds: int, tick: Tick
) -> list[float]:
    """CPU time for an add of API and worker / of a process without workflows, by round."""
    own = [rig.stack.process(name).pid for name in ("api", "worker")]
    ratios = []
    async with AsyncExitStack() as opened:
        clients = {
            path: [await opened.enter_async_context(RawClient(port)) for _ in range(AT_ONCE)]
            for path, port in (("/api/v1/cart", rig.settings.port), ("/direct", rig.bench_port))
        }

        async def cpu(path: str, pids: Sequence[int]) -> float:
            before = cpu_seconds(pids)
            prepares = [operations.adding(client, path) for client in clients[path]]
            await _repeat(prepares, adds)
            await asyncio.sleep(SETTLE_SECONDS)
            return cpu_seconds(pids) - before

        for number in range(rounds + 1):
            ratio = await cpu("/api/v1/cart", own) / await cpu("/direct", [rig.bench_pid])
            if number:  # the first one warms up
                ratios.append(ratio)
            tick()
    return ratios


async def _repeat(prepares: Sequence[Prepare], times: int) -> None:
    """Runs so many operations, as many at once as there are `prepares`."""
    left = iter(range(times))

    async def shopper(prepare: Prepare) -> None:
        for _ in left:
            await (await prepare())()

    await asyncio.gather(*map(shopper, prepares))


@asynccontextmanager
async def counters(rig: Rig) -> AsyncIterator["Counters"]:
    """Counts what the servers are asked meanwhile."""
    uri = rig.settings.mongodb.get_secret_value()
    async with (
        AsyncMongoClient[dict[str, object]](uri) as mongodb,
        Redis.from_url(rig.settings.redis.get_secret_value()) as redis,
    ):
        yield Counters(rig, mongodb, redis)


class Counters:
    """Counts commands and bytes of single operations."""

    def __init__(
        self, rig: Rig, mongodb: AsyncMongoClient[dict[str, object]], redis: Redis
    ) -> None:
        self._rig = rig
        self._mongodb = mongodb
        self._redis = redis
        self._log = rig.stack.local_dir / "logs" / "mongodb.log"

    async def cost(self, prepare: Prepare, times: int) -> Cost:
        """The mean cost of an operation, of so many in sequence."""
        planned: list[Operation] = [await prepare() for _ in range(times)]
        await asyncio.sleep(SETTLE_SECONDS)
        for database in ("cart-service", "admin"):  # `admin` has the commits
            await self._mongodb[database].command({"profile": 0, "slowms": -1})
        offset = self._log.stat().st_size
        before = await self._redis_now() + [await self._journal_bytes()]
        for operation in planned:
            await operation()
        await asyncio.sleep(SETTLE_SECONDS)
        after = await self._redis_now() + [await self._journal_bytes()]
        for database in ("cart-service", "admin"):
            await self._mongodb[database].command({"profile": 0, "slowms": 100})
        redis_commands, redis_bytes, journal = (
            (now - then) / times for now, then in zip(after, before, strict=True)
        )
        with self._log.open("rb") as log:
            log.seek(offset)
            commands = sum(map(_is_of_an_operation, log)) / times
        return Cost(
            {"mongodb": commands, "redis": redis_commands},
            {"mongodb": journal, "redis": redis_bytes},
        )

    async def _redis_now(self) -> list[float]:
        """The commands on carts, stock and replies so far, and the bytes received."""
        commands = await self._redis.info("commandstats")
        count = sum(commands.get(f"cmdstat_{name}", {}).get("calls", 0) for name in _REDIS_COMMANDS)
        return [count, (await self._redis.info("stats"))["total_net_input_bytes"]]

    async def _journal_bytes(self) -> float:
        status = await self._mongodb.admin.command("serverStatus")
        return float(status["wiredTiger"]["log"]["log bytes written"])


def _is_of_an_operation(line: bytes) -> bool:
    """Whether a line of MongoDB's log is a command of the API or the worker for an operation."""
    if b'"Slow query"' not in line:
        return False
    logged = json.loads(line)["attr"]
    command = logged.get("command", {})
    name = next(iter(command), "")
    if logged["type"] != "command" or logged.get("appName") not in SERVICE:
        return False
    if name == "find" and not _is_of_one_cart(command.get("filter", {})):
        return False
    return name == "commitTransaction" or (name in COMMANDS and command[name] in COLLECTIONS)


def _is_of_one_cart(query: dict[str, object]) -> bool:
    """Whether a query is about one user's cart or records; schedules read those of many."""
    return isinstance(query.get("userId"), str) or "$or" in query
