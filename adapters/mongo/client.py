"""MongoDB: the client, its time limits, and what its errors mean here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pymongo
from beanie.odm.utils.init import Initializer
from bson import Decimal128
from bson.codec_options import TypeEncoder, TypeRegistry
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConnectionFailure, PyMongoError

from adapters.calls import measured_call
from adapters.mongo.spans import MongoSpans
from models.cart import Cart
from models.errors import DependencyTimeout, DependencyUnavailable
from models.intake import IntakeHold
from models.operation import Operation
from models.upkeep.figures import BusinessFigures
from models.upkeep.watch import HoldWatch
from telemetry import tracing

MongoClient = AsyncMongoClient[dict[str, Any]]

DOCUMENTS = (Cart, Operation, IntakeHold)  # those with indexes
DEFAULT_DATABASE = "cart-service"

READ_SECONDS = 2.0
LIST_SECONDS = 5.0
COMMIT_SECONDS = 5.0
# A process killed inside a transaction leaves it open on the server for up to
# transactionLifetimeLimitSeconds; an insert of the same record waits for it.
SETTLE_SECONDS = 12.0
INDEX_SECONDS = 60.0
CLOSE_SECONDS = 2.0

_PASSING_LABELS = (
    "TransientTransactionError",
    "UnknownTransactionCommitResult",
    "RetryableWriteError",
)


class _Binding(Initializer):
    """`init_beanie` without its two calls to the server, so that a process starts without one.

    What they answer matters for time series, views and the making of indexes only.
    """

    async def _load_cached_info(self) -> None:
        self._database_major_version = 6
        self._existing_collections = []


class _Money(TypeEncoder):
    """How the driver stores an amount, as Beanie does (`models.money`)."""

    python_type = Decimal

    def transform_python(self, value: Decimal) -> Decimal128:
        return Decimal128(value)


def open_client(uri: SecretStr, *, app_name: str) -> MongoClient:
    """A client; its connections are made when they are needed."""
    return AsyncMongoClient(
        uri.get_secret_value(),
        appname=app_name,
        tz_aware=True,
        type_registry=TypeRegistry([_Money()]),
        w="majority",
        readConcernLevel="majority",
        retryWrites=True,
        serverSelectionTimeoutMS=2_000,
        connectTimeoutMS=2_000,
        waitQueueTimeoutMS=2_000,
        maxPoolSize=64,
        minPoolSize=2,
        event_listeners=[MongoSpans()] if tracing.is_on() else [],
    )


async def connect(uri: SecretStr, *, app_name: str) -> MongoClient:
    """A client to which this process's documents are bound; succeeds while MongoDB is away."""
    client = open_client(uri, app_name=app_name)
    await bind(client)
    return client


async def bind(client: MongoClient) -> None:
    """Lets this process's documents work with a client; they work with one at a time."""
    await _Binding(
        database=_database(client),
        document_models=[*DOCUMENTS, BusinessFigures, HoldWatch],
        skip_indexes=True,
    )


def _database(client: MongoClient) -> AsyncDatabase[dict[str, Any]]:
    return client.get_default_database(DEFAULT_DATABASE)


async def close(client: MongoClient) -> None:
    """Closes the client; after an outage the driver's own end can take ten seconds."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()
    except TimeoutError:
        return


async def create_indexes(client: MongoClient) -> None:
    """Creates all indexes; those that exist are left alone."""
    async with bounded(INDEX_SECONDS):
        for document in DOCUMENTS:
            collection = _database(client)[document.Settings.name]
            await collection.create_indexes(document.Settings.indexes)


@asynccontextmanager
async def bounded(seconds: float) -> AsyncIterator[None]:
    """Gives what is inside `seconds` in all, and names MongoDB when it does not answer."""
    with measured_call("mongodb", "command"):
        try:
            with pymongo.timeout(seconds):
                yield
        except PyMongoError as error:
            if error.timeout:
                raise DependencyTimeout("mongodb", str(error)) from error
            if isinstance(error, ConnectionFailure) or any(
                error.has_error_label(label) for label in _PASSING_LABELS
            ):
                raise DependencyUnavailable("mongodb", str(error)) from error
            raise
