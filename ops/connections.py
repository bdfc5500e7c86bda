"""Connections to Temporal and MongoDB, and how long an operator waits for each server.

Each server is asked by `ask` or `need`. Both wait for a bounded time. A question that is needed
raises an error when the server is away; another one is left open, and `unasked` has the servers
that could not be asked.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from adapters.keyring import Keyring
from adapters.mongo import client as mongo
from adapters.mongo.acknowledgements import Acknowledgements
from adapters.mongo.carts import CartStore
from adapters.mongo.intake import IntakeHolds
from adapters.mongo.operations import OperationStore
from adapters.mongo.outbox import Outbox
from adapters.mongo.store_settings import StoreSettingsStore
from adapters.mongo.watch import WatchStore
from models.errors import DependencyUnavailable
from ops.errors import ServerAwayError
from ops.words import reason
from settings import Settings
from workflows.connection import connect
from workflows.gateway import CartGateway
from workflows.pages import Pages

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
    store_settings: StoreSettingsStore
    acknowledgements: Acknowledgements
    watches: WatchStore
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
        """The answer to a question; raises `ServerAwayError` when the server does not answer."""
        try:
            return await _answer(question)
        except (DependencyUnavailable, RPCError, RuntimeError, TimeoutError) as error:
            if not _is_away(error):
                raise
            raise away(server, reason(error)) from None

    def afresh(self) -> "Connections":
        """The same, with each server to be asked again."""
        return replace(self, unasked={})

    @property
    def incomplete(self) -> str | None:
        """Which servers could not be asked, and why, in words."""
        if not self.unasked:
            return None
        servers = " and ".join(f"{NAMES[name]} ({why})" for name, why in self.unasked.items())
        return f"Incomplete: {servers} could not be asked; see `cart doctor`"

    def need_all(self) -> None:
        """Raises `ServerAwayError` when a server could not be asked."""
        for server, why in self.unasked.items():
            raise away(server, why)


def away(server: str, why: str) -> ServerAwayError:
    """The error without a server that is needed."""
    return ServerAwayError(server, f"{NAMES[server]} does not answer ({why}): see `cart doctor`")


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
    gateway = CartGateway(
        temporal,
        task_queue=settings.temporal_task_queue,
        lock_wait_seconds=settings.cart_lock_wait_seconds,
    )
    try:
        yield connections_over(settings, temporal, client, gateway)
    finally:
        await mongo.close(client)


def connections_over(
    settings: Settings, temporal: Client, client: mongo.MongoClient, gateway: CartGateway
) -> Connections:
    """Connections over clients that are open."""
    return Connections(
        settings=settings,
        temporal=temporal,
        gateway=gateway,
        pages=Pages(settings.temporal_ui, temporal.namespace),
        carts=CartStore(client),
        operations=OperationStore(client, Keyring(settings.secrets_of_data)),
        outbox=Outbox(),
        intake=IntakeHolds(),
        store_settings=StoreSettingsStore(),
        acknowledgements=Acknowledgements(),
        watches=WatchStore(),
    )
