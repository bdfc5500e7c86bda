"""This project's own processes, as the local stack runs them: from the source tree, one of each.

To add one, write its function and name it in `APPS`.
"""

import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from dev.stack.process import Process, ProcessSpec
from dev.stack.servers import http_probe
from settings import LOCALHOST, Settings

ROOT = Path(__file__).resolve().parents[2]
_WORKER_STARTED = '"event":"worker_started"'
_CONSUMER_STARTED = '"event":"consumer_started"'
# An app that drains for 10 s, then inventory, then the servers (5 s): within 20 s in all.
_DRAIN, _INVENTORY_GRACE = 11.5, 2.0

_SERVERS = frozenset({"temporal", "mongodb", "redis", "kafka"})
Environment = Mapping[str, str]


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
    return _for_sagas(
        "worker", _WORKER_STARTED, env, shown_as=f"task queue {settings.temporal_task_queue}"
    )


def consumer(settings: Settings, env: Environment) -> ProcessSpec:
    return _for_sagas(
        "consumer", _CONSUMER_STARTED, env, shown_as=f"group {settings.kafka_group_id}"
    )


def _for_sagas(name: str, started: str, env: Environment, *, shown_as: str) -> ProcessSpec:
    """A process that starts or runs sagas, and drains; its log tells that it is up."""
    return ProcessSpec(
        name=name,
        argv=(sys.executable, f"{name}.py"),
        probe=_logged(started),
        needs=_SERVERS,
        outlived_by=frozenset({"inventory"}),  # sagas that finish meanwhile still need it
        env=env,
        cwd=ROOT,
        stop_grace=_DRAIN,
        shown_as=shown_as,
    )


def api(settings: Settings, env: Environment) -> ProcessSpec:
    return ProcessSpec(
        name="api",
        argv=(sys.executable, "-m", "api"),
        probe=http_probe(f"{settings.api_url}/health/ready"),
        needs=_SERVERS,
        outlived_by=frozenset({"inventory"}),  # sagas that finish meanwhile still need it
        env=env,
        cwd=ROOT,
        stop_grace=_DRAIN,
        shown_as=f"{settings.host}:{settings.port}",
    )


APPS: Mapping[str, Callable[[Settings, Environment], ProcessSpec]] = {
    "inventory": inventory,
    "worker": worker,
    "consumer": consumer,
    "api": api,
}


def _logged(text: str) -> Callable[[Process], Awaitable[bool]]:
    async def written(process: Process) -> bool:
        return text in process.output(limit=1 << 20)

    return written
