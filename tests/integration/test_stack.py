"""The local stack: its servers keep their data after a kill, and leave no process.

It is a stack for these tests only, since the others' must not be stopped.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from pymongo import AsyncMongoClient
from redis.asyncio import Redis
from temporalio.client import WorkflowExecutionStatus

from adapters.kafka.connection import connection_options
from dev.stack.apps import SERVERS
from dev.stack.ports import free_ports, is_free
from dev.stack.process import StackError
from dev.stack.stack import Stack
from models.events import TOPICS
from settings import Settings
from workflows.connection import connect

LOOPBACK = ("0100007F", "00000000000000000000000001000000")  # as /proc/net/tcp writes them
LISTENING = "0A"
CART = (sys.executable, "-c", "from cli.main import main; main()")


def own_settings(folder: Path, ports: dict[str, int] | None = None) -> Settings:
    return Settings(
        local_dir=folder,
        **{name.lower(): port for name, port in (ports or free_ports()).items()},  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
async def servers(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """The servers; each test leaves them running."""
    folder = tmp_path_factory.mktemp("servers")
    async with Stack(own_settings(folder), echo=print, parts=SERVERS) as running:
        yield running


async def test_killed_servers_restart_with_their_data(servers: Stack) -> None:
    given = servers.settings
    async with AsyncMongoClient[dict[str, object]](given.mongodb.get_secret_value()) as mongo:
        await mongo.test.things.insert_one({"_id": 1})
    async with Redis.from_url(given.redis.get_secret_value()) as redis:
        await redis.set("key", "value")
        await redis.waitaof(1, 0, 5000)  # on disk
    await (await connect(given)).start_workflow("Waits", id="waits", task_queue="unused")

    await asyncio.gather(*(servers.kill(name) for name in SERVERS))
    begun = time.monotonic()
    await asyncio.gather(*(servers.wait_ready(name) for name in SERVERS))
    assert time.monotonic() - begun < 15

    async with AsyncMongoClient[dict[str, object]](given.mongodb.get_secret_value()) as mongo:
        assert await mongo.test.things.count_documents({}) == 1
    async with Redis.from_url(given.redis.get_secret_value()) as redis:
        assert await redis.get("key") == b"value"
    waits = (await connect(given)).get_workflow_handle("waits")
    assert (await waits.describe()).status is WorkflowExecutionStatus.RUNNING
    admin = AIOKafkaAdminClient(**connection_options(given))
    await admin.start()
    assert set(TOPICS) <= set(await admin.list_topics())
    await admin.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_servers_listen_on_the_loopback_interface_only(servers: Stack) -> None:
    for name in SERVERS:
        addresses = listening(servers.process(name).pid)
        assert addresses, name
        assert all(address in LOOPBACK for address in addresses), (name, addresses)


async def test_a_part_that_is_kept_down_stays_down(servers: Stack) -> None:
    await servers.kill("redis", restart=False)
    with pytest.raises(TimeoutError):
        await servers.wait_ready("redis", timeout=1)
    await servers.start_again("redis")
    servers.pause("redis")
    with pytest.raises(TimeoutError):
        await servers.wait_ready("redis", timeout=1)
    servers.resume("redis")
    await servers.wait_ready("redis")


async def test_data_survives_another_port_but_not_another_replica_set(
    settings: Settings, tmp_path: Path
) -> None:
    for count in (1, 2):
        given = own_settings(tmp_path)
        async with (
            Stack(given, echo=print, parts=["mongodb"]),
            AsyncMongoClient[dict[str, object]](given.mongodb.get_secret_value()) as mongo,
        ):
            await mongo.test.things.insert_one({})
            assert await mongo.test.things.count_documents({}) == count
    other = own_settings(tmp_path).model_copy(update={"mongodb_replica_set": "rs9"})
    with pytest.raises(StackError, match="set MONGODB_REPLICA_SET=rs0"):
        await Stack(other, echo=print, parts=["mongodb"]).start()


async def test_cart_stack_runs_until_sigterm_and_refuses_a_second_start(
    settings: Settings, tmp_path: Path
) -> None:
    ports = free_ports()
    env = os.environ | {name: str(port) for name, port in ports.items()}

    async def cart_stack(folder: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(*CART, "stack"),
            env=env | {"LOCAL_DIR": str(tmp_path / folder)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    command = await cart_stack("one")
    try:
        assert command.stdout is not None
        async with asyncio.timeout(60):
            said = b""
            while not (line := await command.stdout.readline()).startswith(b"ready"):
                said += line
                assert line, f"the command ended before it was ready: {said.decode()}"

        refused = await cart_stack("one")
        output, _ = await refused.communicate()
        assert refused.returncode == 1
        assert b"set LOCAL_DIR" in output

        refused = await cart_stack("two")
        output, _ = await refused.communicate()
        assert refused.returncode == 1
        assert f"port {ports['REDIS_PORT']} (Redis) is taken".encode() in output
        assert b"set REDIS_PORT" in output

        command.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(command.communicate(), 20)
        assert command.returncode == 0
        assert b"mongodb    stopped" in output
        assert all(is_free(port) for port in ports.values())
    finally:
        if command.returncode is None:
            command.kill()
            await command.wait()


def listening(pid: int) -> list[str]:
    """The addresses a process listens on, in the kernel's notation."""
    links = (os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir())
    sockets = {link.removeprefix("socket:[").rstrip("]") for link in links if "socket:" in link}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in sockets:
                found.append(fields[1].partition(":")[0])
    return found
