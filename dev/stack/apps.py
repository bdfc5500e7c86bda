"""The processes of this project in the local stack, run from the source tree."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from dev.stack.process import Process, ProcessSpec
from dev.stack.servers import http_probe
from settings import LOCALHOST, Settings

ROOT = Path(__file__).resolve().parents[2]
# 10 s of draining, then the inventory, then the servers (5 s): less than 20 s in total.
_DRAIN, _INVENTORY_GRACE = 11.5, 2.0
_LOG_BYTES = 1 << 20

_SERVERS = frozenset({"temporal", "mongodb", "redis", "kafka"})
Environment = Mapping[str, str]
Probe = Callable[[Process], Awaitable[bool]]


def inventory(settings: Settings, env: Environment) -> ProcessSpec:
    address = f"{LOCALHOST}:{settings.inventory_port}"
    return ProcessSpec(
        name="inventory",
        argv=(sys.executable, "-m", "inventory"),
        probe=http_probe(f"http://{address}/health"),
        needs=frozenset({"mongodb"}),
        env=env,
        cwd=ROOT,
        stop_grace=_INVENTORY_GRACE,
        shown_as=address,
    )


def worker(settings: Settings, env: Environment) -> ProcessSpec:
    queue = f"task queue {settings.temporal_task_queue}"
    return _service("worker", ["worker.py"], logged('"event":"worker_started"'), queue, env)


def consumer(settings: Settings, env: Environment) -> ProcessSpec:
    group = f"group {settings.kafka_group_id}"
    return _service("consumer", ["consumer.py"], logged('"event":"consumer_started"'), group, env)


def api(settings: Settings, env: Environment) -> ProcessSpec:
    probe = http_probe(f"{settings.api_url}/health/ready")
    return _service("api", ["-m", "api"], probe, f"{settings.host}:{settings.port}", env)


def _service(
    name: str, arguments: list[str], probe: Probe, shown_as: str, env: Environment
) -> ProcessSpec:
    """A process that starts or runs sagas and drains before its end."""
    return ProcessSpec(
        name=name,
        argv=(sys.executable, *arguments),
        probe=probe,
        needs=_SERVERS,
        outlived_by=frozenset({"inventory"}),  # sagas that finish during the drain need it
        env=env,
        cwd=ROOT,
        stop_grace=_DRAIN,
        shown_as=shown_as,
    )


APPS: Mapping[str, Callable[[Settings, Environment], ProcessSpec]] = {
    "inventory": inventory,
    "worker": worker,
    "consumer": consumer,
    "api": api,
}


def logged(text: str) -> Probe:
    """A probe that succeeds once the process has logged a text."""

    async def probe(process: Process) -> bool:
        return text in process.output(limit=_LOG_BYTES)

    return probe
