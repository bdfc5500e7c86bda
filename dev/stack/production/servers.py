"""The production servers: command lines, configuration and probes.

All listen on 127.0.0.1 only. `builds` provides the programs.
"""

import asyncio
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.kafka.publisher import ping
from dev.stack import binaries
from dev.stack.ports import more_free_ports
from dev.stack.process import Process, ProcessSpec, StackError, server_environment
from dev.stack.production import builds
from dev.stack.servers import TEMPORAL_DYNAMIC_CONFIG, folder_of, http_probe, listens
from settings import LOCALHOST, Settings

POSTGRESQL_USER = "temporal"
_DATABASES = {"temporal": "temporal", "visibility": "temporal_visibility"}  # schema -> database
HISTORY_SHARDS = 4  # more do not help on one machine
RETENTION = "72h"
# Small and quick to start: a few thousand messages do not need the optimising compiler.
_JVM = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_TOOL_SECONDS = 60
# PostgreSQL refuses to run as root. A change of user clears the signal that `guard` set with
# prctl, so it is set again.
_AS_POSTGRES = ("--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=SIGKILL")


def temporal(
    settings: Settings, data: Path, database: Path, namespace: str
) -> tuple[ProcessSpec, ProcessSpec]:
    """PostgreSQL and Temporal's server on it, with this namespace.

    `database` is an empty folder that any user can access: as root, PostgreSQL runs as `postgres`.
    There is no Web UI; Temporal's HTTP API listens on its port.
    """
    port, *others = more_free_ports(8)
    rpc, membership = others[:3], others[3:]
    folder = folder_of(data, "temporal")
    programs = builds.temporal()
    dynamic = folder / "dynamic-config.yaml"
    dynamic.write_text(
        json.dumps({key: [{"value": value}] for key, value in dynamic_config().items()})
    )

    async def create_tables() -> None:
        tool = [str(programs / "sql"), "--plugin", "postgres12", "--endpoint", LOCALHOST]
        tool += ["--port", str(port), "--user", POSTGRESQL_USER]
        for schema, name in _DATABASES.items():
            known = f"postgresql/v12/{schema}"
            await _run(*tool, "--database", name, "create-database")
            await _run(*tool, "--database", name, "setup-schema", "--version", "0.0")
            await _run(*tool, "--database", name, "update-schema", "--schema-name", known)

    async def create_namespace() -> None:
        command = [str(binaries.temporal()), "operator", "namespace"]
        address = ["--address", f"{LOCALHOST}:{settings.temporal_port}", "--namespace", namespace]
        try:
            await _run(*command, "describe", *address)
        except ToolFailed:
            await _run(*command, "create", *address, "--retention", RETENTION)

    # They fill the server's own template, common/config/config_template_embedded.yaml.
    variables = {
        "LOG_LEVEL": "error",
        "NUM_HISTORY_SHARDS": HISTORY_SHARDS,
        "DB": "postgres12",
        "DBNAME": _DATABASES["temporal"],
        "VISIBILITY_DBNAME": _DATABASES["visibility"],
        "POSTGRES_SEEDS": LOCALHOST,
        "POSTGRES_USER": POSTGRESQL_USER,
        "DB_PORT": port,
        "BIND_ON_IP": LOCALHOST,
        "TEMPORAL_BROADCAST_ADDRESS": LOCALHOST,
        "FRONTEND_GRPC_PORT": settings.temporal_port,
        "FRONTEND_HTTP_PORT": settings.temporal_ui_port,
        "FRONTEND_MEMBERSHIP_PORT": membership[0],
        "HISTORY_GRPC_PORT": rpc[0],
        "HISTORY_MEMBERSHIP_PORT": membership[1],
        "MATCHING_GRPC_PORT": rpc[1],
        "MATCHING_MEMBERSHIP_PORT": membership[2],
        "WORKER_GRPC_PORT": rpc[2],
        "WORKER_MEMBERSHIP_PORT": membership[3],
        "DYNAMIC_CONFIG_FILE_PATH": dynamic,
    }
    url = f"http://{LOCALHOST}:{settings.temporal_ui_port}/api/v1/cluster-info"
    server = ProcessSpec(
        name="temporal",
        argv=(str(programs / "server"), "--allow-no-auth", "start"),
        before=create_tables,
        probe=http_probe(url),
        after=create_namespace,
        needs=frozenset({"postgresql"}),
        env={**server_environment(), **{name: str(value) for name, value in variables.items()}},
        cwd=folder,
        shown_as=f"{LOCALHOST}:{settings.temporal_port}",
    )
    return _postgresql(database, port), server


def dynamic_config() -> dict[str, Any]:
    """Temporal's dynamic configuration: that of the dev server, and one more limit."""
    return TEMPORAL_DYNAMIC_CONFIG | {"frontend.namespaceRPS.visibility": 100}


def kafka(
    settings: Settings,
    data: Path,
    advertised: str,
    *,
    listeners: Mapping[str, int] | None = None,
    more: Mapping[str, str] | None = None,
    format_options: Sequence[str] = (),
) -> ProcessSpec:
    """Apache Kafka: one broker that is its own controller, with its `advertised` address.

    `listeners` are further ones, by name with their ports. `more` is added to its configuration,
    and `format_options` to the command that makes its log.
    """
    folder = folder_of(data, "kafka")
    config = folder / "server.properties"
    [controller] = more_free_ports(1)
    values = _kafka_config(settings, advertised, controller, folder / "log") | dict(more or {})
    for name, port in (listeners or {}).items():
        for key in ("listeners", "advertised.listeners"):
            values[key] += f",{name}://{LOCALHOST}:{port}"
    config.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    command = (builds.java(), *_JVM, "-cp", f"{builds.kafka_jars()}/*")

    async def format_log() -> None:
        if not (folder / "log").exists():
            tool = ("kafka.tools.StorageTool", "format", "-t", str(uuid.uuid4()), "-c")
            await _run(*command, *tool, str(config), *format_options)

    async def answers(_: Process) -> bool:
        await listens(settings.kafka_port)
        await ping(settings)
        return True

    return ProcessSpec(
        name="kafka",
        argv=(*command, "kafka.Kafka", str(config)),
        before=format_log,
        probe=answers,
        cwd=folder,
        shown_as=f"{LOCALHOST}:{settings.kafka_port}",
    )


def _postgresql(database: Path, port: int) -> ProcessSpec:
    programs = builds.postgresql()
    as_postgres = _as_postgres()

    async def initialize() -> None:
        if as_postgres:
            shutil.chown(database, "postgres", "postgres")
        flags = ("--username", POSTGRESQL_USER, "--auth", "trust", "--encoding", "UTF8")
        more = ("--locale", "C", "--no-sync", "--pgdata", str(database))
        await _run(*as_postgres, str(programs / "initdb"), *flags, *more, cwd=database)

    async def accepts(_: Process) -> bool:
        asked = (str(programs / "pg_isready"), "--host", LOCALHOST, "--port", str(port))
        await _run(*asked, "--username", POSTGRESQL_USER, "--dbname", "postgres")
        return True

    listening = (f"--listen_addresses={LOCALHOST}", f"--port={port}", "--unix_socket_directories=")
    return ProcessSpec(
        name="postgresql",
        argv=(
            *(*as_postgres, str(programs / "postgres"), "-D", str(database)),
            *(*listening, "--max_connections=200"),
        ),
        before=initialize,
        probe=accepts,
        cwd=database,
        shown_as=f"{LOCALHOST}:{port}",
    )


def _as_postgres() -> tuple[str, ...]:
    """The prefix that runs a command as the user `postgres` if this process runs as root."""
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StackError("PostgreSQL does not run as root, and there is no setpriv (util-linux)")
    return (setpriv, *_AS_POSTGRES, "--")


def _kafka_config(
    settings: Settings, advertised: str, controller_port: int, log: Path
) -> dict[str, str]:
    controller = f"{LOCALHOST}:{controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"PLAINTEXT://{LOCALHOST}:{settings.kafka_port},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{advertised}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(log),
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "3000",  # tests kill members and wait for the timeout
        # A killed broker can only rejoin after its old session has ended: 9 s by default.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
    }


class ToolFailed(Exception):
    """A tool of a server failed; the text is the end of its output."""


async def _run(*command: str, cwd: Path | None = None) -> None:
    """Runs a tool of a server; raises `ToolFailed`."""
    tool = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=server_environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(_TOOL_SECONDS):
            output, _ = await tool.communicate()
    except BaseException:
        if tool.returncode is None:
            tool.kill()
            await tool.wait()
        raise
    if tool.returncode != 0:
        said = output.decode(errors="replace").strip()[-1000:]
        raise ToolFailed(f"{Path(command[0]).name}: {said}")
