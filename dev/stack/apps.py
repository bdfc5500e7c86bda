"""The processes of this project in the local stack, run from the source tree."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dev.stack.process import Action, Probe, Process, ProcessSpec
from dev.stack.servers import http_probe
from settings import LOCALHOST, Settings

ROOT = Path(__file__).resolve().parents[2]
APPS = ("inventory", "worker", "consumer", "api")
SERVERS = ("temporal", "mongodb", "redis", "kafka")
# 10 s of draining, then the inventory, then the servers (5 s): less than 20 s in total.
_DRAIN, _INVENTORY_GRACE = 11.5, 2.0
_LOG_BYTES = 1 << 20


def app_specs(
    settings: Settings, env: Mapping[str, str], set_up: Action | None = None
) -> list[ProcessSpec]:
    """The processes, in the order of `APPS`; `set_up` runs before those that need all servers."""
    address = f"{LOCALHOST}:{settings.inventory_port}"
    inventory = ProcessSpec(
        name="inventory",
        argv=(sys.executable, "-m", "inventory"),
        probe=http_probe(f"http://{address}/health"),
        needs=frozenset({"mongodb"}),
        env=env,
        cwd=ROOT,
        stop_grace=_INVENTORY_GRACE,
        shown_as=address,
    )

    def service(name: str, arguments: list[str], probe: Probe, shown_as: str) -> ProcessSpec:
        """A process that starts or runs sagas and drains before its end."""
        return replace(
            inventory,
            name=name,
            argv=(sys.executable, *arguments),
            probe=probe,
            needs=frozenset(SERVERS),
            before=set_up,
            outlived_by=frozenset({"inventory"}),  # sagas that finish during the drain need it
            stop_grace=_DRAIN,
            shown_as=shown_as,
        )

    queue, group = settings.temporal_task_queue, settings.kafka_group_id
    ready = http_probe(f"{settings.api_url}/health/ready")
    return [
        inventory,
        service("worker", ["worker.py"], logged("worker_started"), f"task queue {queue}"),
        service("consumer", ["consumer.py"], logged("consumer_started"), f"group {group}"),
        replace(
            service("api", ["-m", "api"], ready, f"{settings.host}:{settings.port}"),
            env={"ENABLE_OPS_PAGE": "true", **env},
        ),
    ]


def logged(event: str) -> Probe:
    """A probe that succeeds once the process has logged an event."""

    async def probe(process: Process) -> bool:
        return f'"event":"{event}"' in process.output(limit=_LOG_BYTES)

    return probe
