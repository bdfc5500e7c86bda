"""What the commands work with: connections to Temporal and MongoDB, opened for one command."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import typer
from temporalio.client import Client
from temporalio.service import RPCError

from adapters.mongo import client as mongo
from adapters.mongo.carts import CartStore
from adapters.mongo.intake import IntakeHolds
from adapters.mongo.outbox import Outbox
from cli.console import CliError, reason
from cli.ops.exits import Exit
from models.errors import DependencyUnavailable
from settings import Settings, load_settings
from workflows.gateway import CartGateway, connect
from workflows.pages import Pages

WATCH_SECONDS = 2.0


@dataclass(frozen=True)
class Desk:
    """An operator's connections."""

    settings: Settings
    temporal: Client
    gateway: CartGateway
    pages: Pages
    carts: CartStore
    outbox: Outbox
    intake: IntakeHolds


Work = Callable[[Desk], Awaitable[Exit]]


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """Connects; raises `CliError` when Temporal does not answer. MongoDB is asked when needed."""
    try:
        temporal = await connect(settings)
    except RuntimeError as error:
        raise CliError(f"Temporal does not answer ({reason(error)}): see `cart doctor`") from None
    client = await mongo.connect(settings.mongodb, app_name="cart-ops")
    try:
        yield Desk(
            settings=settings,
            temporal=temporal,
            gateway=CartGateway(
                temporal,
                task_queue=settings.temporal_task_queue,
                lock_wait_seconds=settings.cart_lock_wait_seconds,
            ),
            pages=Pages(settings.temporal_ui, temporal.namespace),
            carts=CartStore(client),
            outbox=Outbox(),
            intake=IntakeHolds(),
        )
    finally:
        await mongo.close(client)


def at_desk(work: Work, *, watch: bool = False) -> None:
    """Does the work and ends the command with its exit code; with `watch` again and again."""
    settings = load_settings()

    async def once() -> Exit:
        async with open_desk(settings) as desk:
            while True:
                code = await work(desk)
                if not watch:
                    return code
                await asyncio.sleep(WATCH_SECONDS)

    try:
        code = asyncio.run(once())
    except KeyboardInterrupt:
        code = Exit.OK
    except (DependencyUnavailable, RPCError) as error:
        raise CliError(f"{error}: see `cart doctor`") from None
    raise typer.Exit(int(code))
