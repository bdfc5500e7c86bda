"""Connections to Temporal and MongoDB, opened for one command."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

import typer
from temporalio.client import Client
from temporalio.service import RPCError

from adapters.mongo import client as mongo
from adapters.mongo.carts import CartStore
from adapters.mongo.intake import IntakeHolds
from adapters.mongo.operations import OperationStore
from adapters.mongo.outbox import Outbox
from cli.console import CliError, ExitCode, reason, unavailable
from models.errors import DependencyUnavailable
from settings import Settings, load_settings
from workflows.connection import connect
from workflows.gateway import CartGateway
from workflows.pages import Pages

WATCH_SECONDS = 2.0


@dataclass(frozen=True)
class Connections:
    """What a command works with."""

    settings: Settings
    temporal: Client
    gateway: CartGateway
    pages: Pages
    carts: CartStore
    operations: OperationStore
    outbox: Outbox
    intake: IntakeHolds


@asynccontextmanager
async def open_connections(settings: Settings) -> AsyncIterator[Connections]:
    """Connects to Temporal, and to MongoDB with its first use.

    Raises `CliError` when Temporal does not answer.
    """
    try:
        temporal = await connect(settings)
    except RuntimeError as error:
        raise CliError(f"Temporal does not answer ({reason(error)}): see `cart doctor`") from None
    client = await mongo.connect(settings.mongodb, app_name="cart-ops")
    try:
        yield Connections(
            settings=settings,
            temporal=temporal,
            gateway=CartGateway(
                temporal,
                task_queue=settings.temporal_task_queue,
                lock_wait_seconds=settings.cart_lock_wait_seconds,
            ),
            pages=Pages(settings.temporal_ui, temporal.namespace),
            carts=CartStore(client),
            operations=OperationStore(client),
            outbox=Outbox(),
            intake=IntakeHolds(),
        )
    finally:
        await mongo.close(client)


def connected(command: Callable[..., Awaitable[ExitCode | None]]) -> Callable[..., None]:
    """Gives a command connections as its first argument, and repeats it with `--watch`."""
    signature = inspect.signature(command)
    _, *options = signature.parameters.values()

    @wraps(command)
    def run(**values: Any) -> None:
        with_connections(partial(command, **values), watch=values.get("watch", False))

    run.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
    return run


def with_connections(
    work: Callable[[Connections], Awaitable[ExitCode | None]], *, watch: bool = False
) -> None:
    """Ends the command with the exit code of the work (None: success), which `watch` repeats until
    Ctrl-C."""
    settings = load_settings()

    async def run() -> ExitCode | None:
        async with open_connections(settings) as connections:
            while True:
                code = await work(connections)
                if not watch:
                    return code
                await asyncio.sleep(WATCH_SECONDS)

    try:
        code = asyncio.run(run())
    except KeyboardInterrupt:
        code = None
    except DependencyUnavailable as error:
        raise CliError(f"{unavailable(error)}: see `cart doctor`") from None
    except RPCError as error:
        raise CliError(f"Temporal: {reason(error)}: see `cart doctor`") from None
    raise typer.Exit(code or ExitCode.OK)
