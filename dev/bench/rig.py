"""What is measured: a local stack of its own, on free ports in a temporary folder, and beside it
the bench's own two processes.
"""

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client

from adapters.mongo.carts import CartStore
from dev.bench.noop import WORKER_STARTED
from dev.stack.apps import ROOT
from dev.stack.ports import free_ports, more_free_ports, ports_of
from dev.stack.process import Process, ProcessSpec
from dev.stack.production import ENVIRONMENT as PRODUCTION
from dev.stack.servers import http_probe
from dev.stack.stack import Stack
from dev.stack.supervisor import Echo, Supervisor
from settings import LOCALHOST, Settings, load_settings
from workflows.gateway import CartGateway, connect


@dataclass(frozen=True, slots=True)
class Rig:
    """The running stack. `port` is the API's, `bench_port` that of the bench's own application."""

    settings: Settings
    stack: Stack
    port: int
    bench_port: int
    temporal: Client
    gateway: CartGateway
    carts: CartStore


@asynccontextmanager
async def rig(echo: Echo, *, production: bool = False) -> AsyncIterator[Rig]:
    """Starts everything and ends it, whatever happens inside; `production` as in `Stack`."""
    with (
        tempfile.TemporaryDirectory(prefix="cart-bench-") as folder,
        environment(Path(folder), production=production),
    ):
        settings = load_settings()
        [bench_port] = more_free_ports(1, beside=ports_of(settings))
        running = Stack(settings, echo=echo, production=production)
        async with running as stack, _bench_processes(stack, bench_port, echo):
            carts = await CartStore.connect(settings.mongodb, app_name="cart-bench")
            client = await connect(settings)
            try:
                yield Rig(
                    settings=settings,
                    stack=stack,
                    port=settings.port,
                    bench_port=bench_port,
                    temporal=client,
                    # No inbox: whoever waits here waits for the workflow's own result.
                    gateway=CartGateway(
                        client,
                        task_queue=settings.temporal_task_queue,
                        lock_wait_seconds=settings.cart_lock_wait_seconds,
                    ),
                    carts=carts,
                )
            finally:
                await carts.close()


@contextmanager
def environment(folder: Path, *, production: bool = False) -> Iterator[None]:
    """Replaces this process's environment, so that no setting points at anybody's real server."""
    known = {name.upper() for name in Settings.model_fields} | {"NODE_ENV"}
    before = dict(os.environ)
    for name in before:
        if name.upper() in known or name.startswith("TEMPORAL_"):
            del os.environ[name]
    os.environ.update({name: str(port) for name, port in free_ports().items()})
    os.environ.update(CART_ENV_FILE="", ENVIRONMENT="test", LOCAL_DIR=str(folder))
    if production:
        os.environ.update(PRODUCTION)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@asynccontextmanager
async def _bench_processes(stack: Stack, port: int, echo: Echo) -> AsyncIterator[None]:
    supervisor = Supervisor(
        [
            ProcessSpec(
                name="noop-work",
                argv=(sys.executable, "-m", "dev.bench.noop_worker"),
                probe=_has_started,
                env=stack.env,
                cwd=ROOT,
            ),
            ProcessSpec(
                name="noop-app",
                argv=(sys.executable, "-m", "dev.bench.noop_app"),
                probe=http_probe(f"http://{LOCALHOST}:{port}/health/live"),
                env=stack.env | {"PORT": str(port)},
                cwd=ROOT,
                shown_as=f"{LOCALHOST}:{port}",
            ),
        ],
        log_dir=stack.local_dir / "logs",
        echo=echo,
    )
    await supervisor.start()
    try:
        yield
    finally:
        await supervisor.stop()


async def _has_started(process: Process) -> bool:
    return WORKER_STARTED in process.output(limit=1 << 20)
