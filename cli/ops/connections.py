"""Connections to Temporal and MongoDB, opened for one command.

A command asks each server by `ask` or `need`. Both wait for a bounded time. A question that is
needed ends the command when the server is away; another one is left open, and the command says at
its end which servers it could not ask.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Any, TypeVar

import typer
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from adapters.keyring import Keyring
from adapters.mongo import client as mongo
from adapters.mongo.acknowledgements import Acknowledgements
from adapters.mongo.carts import CartStore
from adapters.mongo.intake import IntakeHolds
from adapters.mongo.operations import OperationStore
from adapters.mongo.outbox import Outbox
from cli.console import CliError, ExitCode, reason, warn
from models.errors import DependencyUnavailable
from settings import Settings, load_settings
from workflows.connection import connect
from workflows.gateway import CartGateway
from workflows.pages import Pages

WATCH_SECONDS = 2.0
SERVER_SECONDS = 4.0
"""How long a server has for its answers to one question."""
NAMES = {"temporal": "Temporal", "mongodb": "MongoDB", "inventory": "the inventory"}

T = TypeVar("T")
Question = Callable[[], Coroutine[Any, Any, T]]

# Temporal has answered, and says that something is wrong with the question.
_ANSWERS = (
    RPCStatusCode.NOT_FOUND,
    RPCStatusCode.ALREADY_EXISTS,
    RPCStatusCode.INVALID_ARGUMENT,
    RPCStatusCode.FAILED_PRECONDITION,
)


@dataclass(frozen=True)
class Connections:
    """What a command works with. `unasked` has the servers that do not answer, and why."""

    settings: Settings
    temporal: Client
    gateway: CartGateway
    pages: Pages
    carts: CartStore
    operations: OperationStore
    outbox: Outbox
    intake: IntakeHolds
    acknowledgements: Acknowledgements
    unasked: dict[str, str] = field(default_factory=dict)

    async def ask(self, server: str, question: Question[T], default: T) -> T:
        """The answer to a question, or `default` when the server does not answer.

        It is not asked again then.
        """
        if server in self.unasked:
            return default
        try:
            return await _answer(question)
        except (DependencyUnavailable, RPCError, RuntimeError, TimeoutError) as error:
            if not _is_away(error):
                raise
            self.unasked.setdefault(server, reason(error))
            return default

    async def need(self, server: str, question: Question[T]) -> T:
        """The answer to a question; raises `CliError` when the server does not answer."""
        try:
            return await _answer(question)
        except (DependencyUnavailable, RPCError, RuntimeError, TimeoutError) as error:
            if not _is_away(error):
                raise
            raise away(server, reason(error)) from None

    def need_all(self) -> None:
        """Raises `CliError` when a server could not be asked."""
        for server, why in self.unasked.items():
            raise away(server, why)


def away(server: str, why: str) -> CliError:
    """The error of a command that can do nothing without a server."""
    return CliError(f"{NAMES[server]} does not answer ({why}): see `cart doctor`")


async def _answer(question: Question[T]) -> T:
    """Waits for at most `SERVER_SECONDS`."""
    async with asyncio.timeout(SERVER_SECONDS):
        return await question()


def _is_away(error: Exception) -> bool:
    return not (isinstance(error, RPCError) and error.status in _ANSWERS)


@asynccontextmanager
async def open_connections(settings: Settings) -> AsyncIterator[Connections]:
    """Connects to each server with its first use."""
    temporal = await connect(settings, lazy=True)
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
            operations=OperationStore(client, Keyring(settings.secrets_of_data)),
            outbox=Outbox(),
            intake=IntakeHolds(),
            acknowledgements=Acknowledgements(),
        )
    finally:
        await mongo.close(client)


Command = Callable[..., Coroutine[Any, Any, ExitCode | None]]


def connected(command: Command) -> Callable[..., None]:
    """Gives a command connections as its first argument, and repeats it with `--watch`."""
    signature = inspect.signature(command)
    _, *options = signature.parameters.values()

    @wraps(command)
    def run(**values: Any) -> None:
        with_connections(
            partial(command, **values),
            watch=values.get("watch", False),
            as_json=values.get("as_json", False),
        )

    run.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
    return run


def with_connections(
    work: Callable[[Connections], Coroutine[Any, Any, ExitCode | None]],
    *,
    watch: bool = False,
    as_json: bool = False,
) -> None:
    """Ends the command with the exit code of the work (None: success), which `watch` repeats until
    Ctrl-C. Says which servers could not be asked, unless the JSON does."""
    settings = load_settings()

    async def run() -> ExitCode | None:
        async with open_connections(settings) as connections:
            while True:
                code = await work(connections)
                if connections.unasked:
                    code = ExitCode.INCOMPLETE
                if not as_json:
                    _say_unasked(connections.unasked)
                if not watch:
                    return code
                await asyncio.sleep(WATCH_SECONDS)
                connections.unasked.clear()

    try:
        code = asyncio.run(run())
    except DependencyUnavailable as error:
        raise away(error.dependency, reason(error)) from None
    except RPCError as error:
        raise CliError(f"Temporal: {reason(error)}: see `cart doctor`") from None
    raise typer.Exit(code or ExitCode.OK)


def _say_unasked(unasked: dict[str, str]) -> None:
    if unasked:
        servers = " and ".join(f"{NAMES[name]} ({why})" for name, why in unasked.items())
        warn(f"Incomplete: {servers} could not be asked; see `cart doctor`")
