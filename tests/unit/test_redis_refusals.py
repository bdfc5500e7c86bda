"""Redis's error answers: each has a meaning, and connections to the wrong server are closed.

The codes are those of Valkey's and Redis's source (server.c, cluster.c). After a failover behind a
fixed address, connections to the demoted primary stay open: only new ones lead to the next primary.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from adapters.redis.pool import RedisPool
from cli.doctor import redis as redis_checks
from cli.doctor.results import CheckReport, Status
from models.errors import DependencyRefuses, NotSent
from settings import Settings

ELSEWHERE = {
    "READONLY": "READONLY You can't write against a read only replica.",
    "MASTERDOWN": "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is 'no'.",
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "CLUSTERDOWN": "CLUSTERDOWN The cluster is down",
    "MOVED": "MOVED 3999 127.0.0.1:6381",
    "MISCONF": "MISCONF Errors writing to the AOF file: No space left on device",
    "TRYAGAIN": "TRYAGAIN Multiple keys request during rehashing of slot",
    "NOAUTH": "NOAUTH Authentication required.",
    "WRONGPASS": "WRONGPASS invalid username-password pair or user is disabled.",
}
HERE = {
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
    "NOPERM": "NOPERM User cart has no permissions to run the 'set' command",
    "NOREPLICAS": "NOREPLICAS Not enough good replicas to write.",
    "CROSSSLOT": "CROSSSLOT Keys in request don't hash to the same slot",
    "BUSY": "BUSY Redis is busy running a script.",
    "ERR": "ERR unknown command 'SET'",
}
ADVICE = {
    "READONLY": "replica",
    "MASTERDOWN": "primary",
    "LOADING": "wait",
    "CLUSTERDOWN": "CLUSTER INFO",
    "MOVED": "several shards is not supported",
    "MISCONF": "disk",
    "NOAUTH": "REDIS_PASSWORD",
    "WRONGPASS": "REDIS_PASSWORD",
    "OOM": "maxmemory",
    "NOPERM": "ACL SETUSER",
    "NOREPLICAS": "min-replicas-to-write",
    "CROSSSLOT": "several shards is not supported",
    "ERR": "Sentinel",
}


@dataclass
class Answering:
    """A server that answers writes with `answer`, and counts its connections."""

    port: int = 0
    answer: str = ""
    shards: int = 0
    connections: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                length = int((await reader.readline())[1:])
                words.append((await reader.readexactly(length + 2))[:-2].upper())
            writer.write(self._answer(words[0]))

    def _answer(self, command: bytes) -> bytes:
        if command == b"HELLO":
            return b"-ERR unknown command 'HELLO'\r\n"
        if command in {b"CLIENT", b"PING", b"SELECT"}:
            return b"+OK\r\n"
        if command == b"INFO":
            return f"$17\r\ncluster_enabled:{min(self.shards, 1)}\r\n".encode()
        if command == b"CLUSTER":
            text = f"cluster_state:ok\r\ncluster_size:{self.shards}\r\n"
            return f"${len(text)}\r\n{text}\r\n".encode()
        return f"-{self.answer}\r\n".encode() if self.answer else b"+OK\r\n"


@pytest.fixture
async def server() -> AsyncIterator[Answering]:
    server = Answering()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()
    for writer in server.writers:
        writer.close()


@asynccontextmanager
async def pool_of(server: Answering) -> AsyncIterator[RedisPool]:
    pool = RedisPool(SecretStr(f"{server.url}?protocol=2"))
    try:
        yield pool
    finally:
        await pool.close()


async def write(pool: RedisPool) -> None:
    async with pool.client("cart") as redis:
        await redis.set("key", b"1")


@pytest.mark.parametrize("code", [*ELSEWHERE, *HERE])
async def test_a_refusal_is_told_with_its_code_and_opens_no_circuit(
    server: Answering, code: str
) -> None:
    server.answer = (ELSEWHERE | HERE)[code]
    async with pool_of(server) as pool:
        for _ in range(5):
            with pytest.raises(DependencyRefuses) as raised:
                await write(pool)
            assert not isinstance(raised.value, NotSent)
            assert code in raised.value.detail


@pytest.mark.parametrize("code", ELSEWHERE)
async def test_the_next_connection_is_a_new_one_after_a_failover(
    server: Answering, code: str
) -> None:
    async with pool_of(server) as pool:
        await write(pool)
        assert server.connections == 1
        server.answer = ELSEWHERE[code]
        with pytest.raises(DependencyRefuses):
            await write(pool)
        server.answer = ""  # as the new primary does, to which the address leads now
        await write(pool)
        assert server.connections > 1


@pytest.mark.parametrize("code", HERE)
async def test_a_server_that_is_the_right_one_keeps_its_connections(
    server: Answering, code: str
) -> None:
    async with pool_of(server) as pool:
        for answer in ("", HERE[code], HERE[code], ""):
            server.answer = answer
            try:
                await write(pool)
            except DependencyRefuses:
                assert answer
        assert server.connections == 1


@pytest.mark.parametrize("code", ADVICE)
async def test_the_doctor_says_what_to_do(server: Answering, code: str) -> None:
    server.answer = (ELSEWHERE | HERE)[code]
    report = CheckReport()
    await redis_checks.check_redis(Settings(redis_url=f"{server.url}?protocol=2"), report)
    [result] = report.results
    assert result.state is Status.FAILED
    assert code in result.what
    assert ADVICE[code] in result.advice


@pytest.mark.parametrize("shards", [0, 1, 3])
async def test_a_cluster_of_several_shards_is_named(server: Answering, shards: int) -> None:
    server.shards = shards
    report = CheckReport()
    await redis_checks.check_redis(Settings(redis_url=f"{server.url}?protocol=2"), report)
    named = [one for one in report.results if f"is a cluster of {shards} shards" in one.what]
    assert bool(named) is (shards > 1)
    assert all(one.state is Status.FAILED for one in named)
