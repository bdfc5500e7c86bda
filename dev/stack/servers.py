"""The servers of the local stack from their wheels: command lines and probes.

All listen on 127.0.0.1 only. Each keeps its data in its own folder, except Tansu, which replaces
Kafka and keeps its data in memory.
"""

import asyncio
import ssl
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure
from redis.asyncio import Redis

from cli.setup import create_topics
from dev.stack import binaries
from dev.stack.process import Probe, Process, ProcessSpec, StackError
from settings import LOCALHOST, Settings
from settings.mongodb import LOCAL_REPLICA_SET
from workflows.ids import SEARCH_ATTRIBUTES

# The dev server has one history shard: with 20 polls a second, the default, every hop takes 50 ms.
# With the default of four partitions of a task queue, the tail is seconds under load.
TEMPORAL_DYNAMIC_CONFIG = {
    "history.transferProcessorMaxPollRPS": 5000,
    "history.timerProcessorMaxPollRPS": 5000,
    "history.visibilityProcessorMaxPollRPS": 5000,
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
}
MONGODB_PARAMETERS = {
    # A process killed inside a transaction blocks its documents for this long.
    "transactionLifetimeLimitSeconds": 5,
    "shutdownTimeoutMillisForSignaledShutdown": 100,  # there is no other member
    "diagnosticDataCollectionEnabled": "false",
    "ttlMonitorSleepSecs": 5,  # default: 60
}
_NOT_YET_INITIALIZED = 94


def temporal(settings: Settings, data: Path, namespace: str) -> ProcessSpec:
    """Temporal's dev server with its Web UI; creates `namespace`."""
    flags = [
        *("--ip", LOCALHOST, "--port", str(settings.temporal_port)),
        *("--ui-port", str(settings.temporal_ui_port), "--ui-disable-news-fetch"),
        *("--namespace", namespace, "--log-level", "error"),
        *("--db-filename", str(folder_of(data, "temporal") / "temporal.db")),
        # Without these two, a file has twice the latency and half the throughput of memory.
        *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"),
        *("--disable-config-file", "--disable-config-env"),  # they are for its clients
    ]
    for key, value in TEMPORAL_DYNAMIC_CONFIG.items():
        flags += ["--dynamic-config-value", f"{key}={value}"]
    for name, kind in SEARCH_ATTRIBUTES.items():
        flags += ["--search-attribute", f"{name}={kind}"]
    # The Web UI forwards the request: it succeeds once both are up.
    url = f"http://{LOCALHOST}:{settings.temporal_ui_port}/api/v1/namespaces/{namespace}"
    return ProcessSpec(
        name="temporal",
        argv=(str(binaries.temporal()), "server", "start-dev", *flags),
        probe=http_probe(url),
        cwd=data,
        shown_as=f"{LOCALHOST}:{settings.temporal_port}",
    )


def mongodb(settings: Settings, data: Path) -> ProcessSpec:
    """A replica set of one member, because transactions need a replica set."""
    address = f"{LOCALHOST}:{settings.mongodb_port}"
    url = f"mongodb://{address}/?directConnection=true&serverSelectionTimeoutMS=2000"
    name = settings.mongodb_replica_set or LOCAL_REPLICA_SET

    async def is_writable_primary(_: Process) -> bool:
        async with AsyncMongoClient[dict[str, Any]](url) as client:
            if (await client.admin.command("hello"))["isWritablePrimary"]:
                return True
            await _configure_replica_set(client, name, address)
            return False

    member = mongodb_member("mongodb", settings.mongodb_port, data, name)
    return replace(member, probe=is_writable_primary)


def mongodb_member(
    name: str, port: int, data: Path, replica_set: str, *options: str
) -> ProcessSpec:
    """One member of a replica set, which is ready once it listens; with further `options`."""
    flags = [
        *("--dbpath", str(folder_of(data, name)), "--port", str(port)),
        *("--bind_ip", LOCALHOST, "--nounixsocket", "--replSet", replica_set, "--quiet"),
        *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "256"),
        # By default, the journal allocates 300 MB at the start.
        *("--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=32MB)"),
        *options,
    ]
    for key, value in MONGODB_PARAMETERS.items():
        flags += ["--setParameter", f"{key}={value}"]
    return ProcessSpec(
        name=name,
        argv=(str(binaries.mongod()), *flags),
        probe=lambda _: listens(port),
        diagnose=binaries.explain_mongod,
        cwd=data,
        shown_as=f"{LOCALHOST}:{port}",
    )


def redis(settings: Settings, data: Path) -> ProcessSpec:
    """Valkey or Redis; keeps its data, except for up to a second before a crash."""
    folder = folder_of(data, "redis")
    config = folder / "redis.conf"  # a file keeps the password out of the process list
    password = settings.redis_password.get_secret_value() if settings.redis_password else ""
    escaped = password.replace("\\", "\\\\").replace('"', '\\"')
    lines = [
        f"bind {LOCALHOST}",
        f"port {settings.redis_port}",
        f"databases {max(16, settings.redis_db + 1)}",
        "appendonly yes",
        'save ""',
        *([f'requirepass "{escaped}"'] if password else []),
    ]
    config.touch(mode=0o600)
    config.write_text("\n".join([*lines, ""]))

    async def pings(_: Process) -> bool:
        url = settings.redis.get_secret_value()
        async with Redis.from_url(url, socket_timeout=2) as client:
            return bool(await client.ping())

    return ProcessSpec(
        name="redis",
        argv=(str(binaries.redis_server()), str(config), "--dir", str(folder)),
        probe=pings,
        cwd=folder,
        shown_as=f"{LOCALHOST}:{settings.redis_port}",
    )


def kafka(settings: Settings, data: Path, advertised: str) -> ProcessSpec:
    """Tansu, in memory: it is empty after a restart, so the topics are created after each start.

    `advertised` is the address that the broker gives to its clients.
    """
    url = f"tcp://{LOCALHOST}:{settings.kafka_port}"
    flags = ("--listener-url", url, "--advertised-listener-url", f"tcp://{advertised}")
    return ProcessSpec(
        name="kafka",
        argv=(str(binaries.tansu()), "broker", *flags, "--storage-engine", "memory://tansu/"),
        probe=lambda _: listens(settings.kafka_port),
        after=partial(create_topics, settings),
        cwd=folder_of(data, "kafka"),
        shown_as=f"{LOCALHOST}:{settings.kafka_port}",
    )


@cache
def shared_tls() -> ssl.SSLContext:
    """One context for short-lived clients: httpx would create one for each, in 20 ms."""
    return httpx.create_ssl_context()


def http_probe(url: str) -> Probe:
    """A probe that succeeds when a GET of this URL returns 200."""

    async def answers(_: Process) -> bool:
        async with httpx.AsyncClient(trust_env=False, timeout=2, verify=shared_tls()) as client:
            answer = await client.get(url)
        if answer.status_code != httpx.codes.OK:
            raise ConnectionError(f"{url} returned {answer.status_code}: {answer.text[:200]}")
        return True

    return answers


async def listens(port: int) -> bool:
    """True once a server listens; aiokafka would log an error for each attempt before that."""
    _reader, writer = await asyncio.open_connection(LOCALHOST, port)
    writer.close()
    return True


async def _configure_replica_set(
    client: AsyncMongoClient[dict[str, Any]], name: str, address: str
) -> None:
    """Creates the replica set, or changes the address of an existing one."""
    try:
        config = (await client.admin.command("replSetGetConfig"))["config"]
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        config = {"_id": name, "members": [{"_id": 0, "host": address}]}
        await client.admin.command("replSetInitiate", config)
        return
    if config["_id"] != name:
        raise StackError(
            f"mongodb's data belongs to the replica set {config['_id']}, not {name}: "
            f"set MONGODB_REPLICA_SET={config['_id']}, or start with --reset, which clears all data"
        )
    if config["members"][0]["host"] != address:
        config["members"][0]["host"] = address
        config["version"] += 1
        await client.admin.command("replSetReconfig", config, force=True)


def folder_of(data: Path, name: str) -> Path:
    """A server's folder, created if it is missing."""
    folder = data / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder
