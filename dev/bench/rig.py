"""Local stacks for benchmarks: free ports, a temporary folder, no settings from outside."""

import os
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from types import MappingProxyType
from unittest.mock import patch

from temporalio.client import Client

from adapters.mongo.carts import CartStore
from dev.bench.noop import WORKER_STARTED
from dev.stack.apps import APPS, ROOT, SERVERS, logged
from dev.stack.ports import free_ports, more_free_ports
from dev.stack.process import ProcessSpec
from dev.stack.production import ENVIRONMENT as PRODUCTION
from dev.stack.servers import http_probe
from dev.stack.stack import Stack
from dev.stack.supervisor import Echo, Supervisor
from settings import LOCALHOST, Settings, load_settings
from workflows.connection import connect
from workflows.gateway import CartGateway


@dataclass(frozen=True, slots=True)
class Rig:
    """The running stack. `bench_port` and `bench_pid` are of the bench's own application."""

    settings: Settings
    stack: Stack
    bench_port: int
    bench_pid: int
    temporal: Client
    gateway: CartGateway


@asynccontextmanager
async def local_stack(
    echo: Echo = print,
    *,
    parts: Collection[str] = (*SERVERS, *APPS),
    production: bool = False,
    changed: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Stack]:
    """A running stack, with Beanie initialized in this process; `production` as in `Stack`.

    `changed` are settings that differ from their defaults.
    """
    with TemporaryDirectory(prefix="cart-bench-") as folder, patch.dict(os.environ):
        _isolate(folder, {**(PRODUCTION if production else {}), **changed})
        settings = load_settings()
        async with Stack(settings, echo=echo, parts=parts, production=production) as stack:
            carts = await CartStore.connect(settings.mongodb, app_name="cart-bench")
            try:
                yield stack
            finally:
                await carts.close()


def _isolate(folder: str, more: dict[str, str]) -> None:
    """Changes the environment, so that no setting refers to another server."""
    known = {name.upper() for name in Settings.model_fields} | {"NODE_ENV"}
    for name in [*os.environ]:
        if name.upper() in known or name.startswith("TEMPORAL_"):
            del os.environ[name]
    os.environ.update({name: str(port) for name, port in free_ports().items()})
    os.environ.update(more, CART_ENV_FILE="", ENVIRONMENT="test", LOCAL_DIR=folder)


@asynccontextmanager
async def rig(*, production: bool = False) -> AsyncIterator[Rig]:
    """A stack with the worker and the application of the bench; prints nothing."""
    async with local_stack(lambda _: None, production=production) as stack:
        settings = stack.settings
        [port] = more_free_ports(1)
        client = await connect(settings)
        # Without an inbox: a result is the result of the workflow.
        gateway = CartGateway(
            client,
            task_queue=settings.temporal_task_queue,
            lock_wait_seconds=settings.cart_lock_wait_seconds,
        )
        worker = ProcessSpec(
            name="noop-work",
            argv=(sys.executable, "-m", "dev.bench.noop"),
            probe=logged(WORKER_STARTED),
            env=stack.env,
            cwd=ROOT,
        )
        app = ProcessSpec(
            name="noop-app",
            argv=(sys.executable, "-m", "dev.bench.noop_app"),
            probe=http_probe(f"http://{LOCALHOST}:{port}/health/live"),
            env=stack.env | {"PORT": str(port)},
            cwd=ROOT,
            shown_as=f"{LOCALHOST}:{port}",
        )
        async with Supervisor([worker, app], log_dir=stack.local_dir / "logs") as supervisor:
            pid = supervisor.process(app.name).pid
            yield Rig(settings, stack, port, pid, client, gateway)
