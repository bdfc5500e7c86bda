"""The connection to MongoDB: time limits, transactions, collections, indexes, warm-up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import pymongo
import structlog
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from dev.inventory_service.documents import HOLDING, HOLDING_ORDER, Document

logger = structlog.stdlib.get_logger(__name__)

DATABASE = "inventory"
WARM_CONNECTIONS = 16
MAX_CONNECTIONS = 100
CLOSE_SECONDS = 1.0

T = TypeVar("T")


class StoreUnavailableError(Exception):
    """MongoDB did not answer in time. The outcome is unknown; repeating is safe."""


class Mongo:
    """A client with three collections and a time limit for every call."""

    def __init__(self, uri: str, *, call_seconds: float) -> None:
        """`uri` must be that of a replica set, because transactions need one."""
        self._seconds = call_seconds
        self._reachable = True
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(
            uri,
            appname="inventory",
            w="majority",
            readConcernLevel="majority",
            readPreference="primary",
            retryWrites=True,
            maxPoolSize=MAX_CONNECTIONS,
            minPoolSize=WARM_CONNECTIONS,
            serverSelectionTimeoutMS=int(call_seconds * 1000),
            connectTimeoutMS=int(call_seconds * 1000),
        )
        database = self._client[DATABASE]
        self.stock = database["stock"]
        self.actions = database["actions"]
        self.products = database["products"]

    async def prepare(self) -> None:
        """Creates the index with its collection, and opens connections."""
        async with self.bounded():
            await self.actions.create_index([*HOLDING_ORDER, ("delta", 1)], name=HOLDING)
            await self.actions.create_index("endsAt", name="ends", sparse=True)
            await asyncio.gather(
                *(self._client.admin.command("ping") for _ in range(WARM_CONNECTIONS))
            )

    async def close(self) -> None:
        """Closes the connections, without waiting for the driver's monitors.

        After an outage, a monitor may wait ten seconds for a heartbeat (pymongo 4.20).
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._client.close()

    async def ping(self) -> None:
        """Raises `StoreUnavailableError` if no primary answers."""
        async with self.bounded():
            await self._client.admin.command("ping")

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Limits the block to `call_seconds`; raises `StoreUnavailableError` for driver errors.

        `DuplicateKeyError` is passed on: it is a result, not a failure.
        """
        try:
            with pymongo.timeout(self._seconds):
                yield
        except DuplicateKeyError:
            raise
        except (PyMongoError, TimeoutError) as error:
            event = "inventory.store_unavailable"
            if isinstance(error, OperationFailure) and not error.timeout:
                logger.exception(event, message="MongoDB refused a command")
            elif self._reachable:  # an outage is logged once
                logger.warning(event, message="MongoDB cannot be reached", reason=str(error))
            self._reachable = False
            raise StoreUnavailableError from error
        if not self._reachable:
            self._reachable = True
            logger.info("inventory.store_available", message="MongoDB answers again")

    async def transact(self, work: Callable[[AsyncClientSession], Awaitable[T]]) -> T:
        """Runs `work` in a transaction and commits it, unless `work` has aborted it.

        The driver retries write conflicts and lost commits, within the caller's `bounded`.
        """
        async with self._client.start_session() as session:
            return await session.with_transaction(work)
