"""MongoDB: the client, its time limits, and the translation of its errors."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pymongo
from beanie import Document
from beanie.odm.utils.init import Initializer
from bson import Decimal128
from bson.codec_options import TypeEncoder, TypeRegistry
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConnectionFailure, DuplicateKeyError, OperationFailure, PyMongoError

from adapters.calls import measured_call
from adapters.mongo import waits
from adapters.mongo.spans import MongoSpans
from adapters.outage_log import OutageLog
from models.acknowledgement import Acknowledgement
from models.cart import CartKey
from models.documents import Cart, LargeAnswer, OperationRecord, Store
from models.errors import DependencyRefuses, DependencyTimeout, DependencyUnavailable
from models.intake import IntakeHold
from models.reports import ProcessReport
from models.store_settings import StoredSettings
from models.upkeep.figures import BucketFigures, BusinessFigures, EndedInHour
from models.upkeep.findings import CartFindings
from models.upkeep.watch import HoldWatch
from telemetry import tracing

MongoClient = AsyncMongoClient[dict[str, Any]]

# The documents with indexes.
DOCUMENTS = (
    Cart,
    OperationRecord,
    LargeAnswer,
    IntakeHold,
    Acknowledgement,
    ProcessReport,
    CartFindings,
)
FIGURES = (BusinessFigures, BucketFigures, EndedInHour)
DEFAULT_DATABASE = "cart-service"

READ_SECONDS = 2.0
LIST_SECONDS = 5.0
COMMIT_SECONDS = 5.0
# A process killed inside a transaction leaves it open on the server for up to
# transactionLifetimeLimitSeconds; an insert of the same record waits for it.
SETTLE_SECONDS = 12.0
INDEX_SECONDS = 60.0
CLOSE_SECONDS = 2.0
ERROR_CHARACTERS = 300
REFUSAL_CHARACTERS = 120

_log = OutageLog("mongodb", "command")

_TRANSIENT_LABELS = (
    "TransientTransactionError",
    "UnknownTransactionCommitResult",
    "RetryableWriteError",
)


class _Binding(Initializer):
    """`init_beanie` without its two calls to the server, so that a process starts without MongoDB.

    Their results are used only for time series, views and creating indexes.
    """

    async def _load_cached_info(self) -> None:
        self._database_major_version = 6
        self._existing_collections = []


class _DecimalEncoder(TypeEncoder):
    """Stores `Decimal` as `Decimal128`, as Beanie does (`models.money`)."""

    python_type = Decimal

    def transform_python(self, value: Decimal) -> Decimal128:
        return Decimal128(value)


def stored_form(document: Document) -> dict[str, Any]:
    """A document as MongoDB stores it, for writes of many: what Beanie makes of it, and faster."""
    stored: dict[str, Any] = document.model_dump(by_alias=True)
    return stored


async def insert_all(documents: Sequence[Document], session: AsyncClientSession) -> None:
    """Inserts documents of one collection."""
    collection = type(documents[0]).get_pymongo_collection()
    await collection.insert_many(map(stored_form, documents), session=session)


def open_client(uri: SecretStr, *, app_name: str) -> MongoClient:
    """A client, which connects on its first command."""
    waits.repair()
    return AsyncMongoClient(
        uri.get_secret_value(),
        appname=app_name,
        tz_aware=True,
        type_registry=TypeRegistry([_DecimalEncoder()]),
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
    """A client with this process's documents bound to it. Succeeds while MongoDB is unavailable."""
    client = open_client(uri, app_name=app_name)
    await bind(client)
    return client


async def bind(client: MongoClient) -> None:
    """Binds this process's documents to a client, in place of the one before."""
    await _Binding(
        database=database_of(client),
        document_models=[*DOCUMENTS, Store, StoredSettings, *FIGURES, HoldWatch],
        skip_indexes=True,
    )


def database_of(client: MongoClient) -> AsyncDatabase[dict[str, Any]]:
    """The database that the URI names, or the default one."""
    return client.get_default_database(DEFAULT_DATABASE)


async def close(client: MongoClient) -> None:
    """Closes the client; waits at most `CLOSE_SECONDS`. After an outage the driver takes longer."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()
    except TimeoutError:
        return


async def create_indexes(client: MongoClient) -> None:
    """Creates all indexes that do not exist yet."""
    async with bounded(INDEX_SECONDS):
        for document in DOCUMENTS:
            collection = database_of(client)[document.Settings.name]
            await collection.create_indexes(document.Settings.indexes)


def in_cart(key: CartKey) -> dict[str, Any]:
    """A filter for one cart, or what belongs to it: the shard key (docs/deploy.md)."""
    return {"storeId": key.store_id, "userId": key.user_id}


def in_carts(keys: Iterable[CartKey]) -> dict[str, Any]:
    """A filter for carts, or what belongs to them. One condition for each store, not each cart."""
    users: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        users[key.store_id].append(key.user_id)
    return {"$or": [{"storeId": one, "userId": {"$in": users[one]}} for one in users]}


@asynccontextmanager
async def bounded(seconds: float) -> AsyncIterator[None]:
    """Limits the block to `seconds` in all.

    Raises `DependencyTimeout` or `DependencyUnavailable` when MongoDB does not answer, and
    `DependencyRefuses` when it refuses the command: its disk is full, an index is missing, or the
    user may not do this. A duplicate key is an answer.
    """
    with measured_call("mongodb", "command", answers=(Exception,)):
        try:
            with pymongo.timeout(seconds):
                yield
        except PyMongoError as error:
            if error.timeout:
                raise DependencyTimeout("mongodb", _brief(error)) from error
            if isinstance(error, ConnectionFailure) or any(
                error.has_error_label(label) for label in _TRANSIENT_LABELS
            ):
                raise DependencyUnavailable("mongodb", _brief(error)) from error
            if isinstance(error, OperationFailure) and not isinstance(error, DuplicateKeyError):
                refusal = _refusal(error)
                _log.refuses(refusal)
                raise DependencyRefuses("mongodb", refusal) from error
            raise


def _brief(error: PyMongoError) -> str:
    """The driver's text without its list of all servers and their errors."""
    return str(error).partition(", Topology Description: ")[0][:ERROR_CHARACTERS]


def _refusal(error: OperationFailure) -> str:
    """The server's words. Of a long text, with a whole query, the beginning and the end."""
    words = str((error.details or {}).get("errmsg", error))
    if len(words) > 2 * REFUSAL_CHARACTERS:
        words = f"{words[:REFUSAL_CHARACTERS]} … {words[-REFUSAL_CHARACTERS:]}"
    return f"{words} (code {error.code})"
