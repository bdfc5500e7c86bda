"""`cart setup`: creates what the service needs on its servers; repeating it changes nothing.

Kafka topics, MongoDB indexes, and Temporal's search attributes. The local stack calls `set_up` at
each start, deployments the command once for each release.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from pymongo.errors import PyMongoError
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.service import RPCError, RPCStatusCode

from adapters.kafka.connection import connection_options, topics_of
from adapters.mongo import client as mongo
from adapters.mongo.foreign_carts import foreign_carts
from cli.console import CliError, say
from cli.doctor import checks
from cli.doctor.results import Part, Status
from models.errors import DependencyUnavailable
from ops.words import reason
from settings import Settings, load_settings
from workflows.connection import RPC_TIMEOUT, connect
from workflows.ids import SEARCH_ATTRIBUTES

SETUP_SECONDS = 120.0  # an index on a large collection takes long
SERVERS = (Part.KAFKA, Part.MONGODB, Part.TEMPORAL)
PARTITIONS = 3
REPLICATION = 3  # or as many brokers as there are
TIMEOUT_MS = 10_000
NEWS_SECONDS = 15.0
"""How long it may take Temporal's servers to hear of a namespace or attribute: they look for news
every 2 s, older ones every 10."""

Answer = TypeVar("Answer")


def setup() -> None:
    """Create the Kafka topics, MongoDB indexes and search attributes."""
    settings = load_settings()
    _check_servers(settings)
    try:
        asyncio.run(asyncio.wait_for(set_up(settings), SETUP_SECONDS))
    except TimeoutError:
        raise CliError(
            f"Setup took longer than {SETUP_SECONDS:g} s; it is safe to run it again"
        ) from None
    except (KafkaError, PyMongoError, DependencyUnavailable, RPCError, RuntimeError) as error:
        kind = type(error).__name__
        raise CliError(f"Setup failed: {kind}: {reason(error)}; see `cart doctor`") from None
    topics = topics_of(settings)
    say(f"Kafka: {len(topics)} topics ({', '.join(topics)})")
    for document in mongo.DOCUMENTS:
        names = [str(index.document["name"]) for index in document.Settings.indexes]
        say(f"MongoDB: {len(names)} indexes of {document.Settings.name} ({', '.join(names)})")
    say(f"Temporal: {len(SEARCH_ATTRIBUTES)} search attributes ({', '.join(SEARCH_ATTRIBUTES)})")
    say("Setup complete")


def _check_servers(settings: Settings) -> None:
    """Raises `CliError` with what the doctor finds wrong with a server."""
    results = checks.examine(settings, {part: checks.CHECKS[part] for part in SERVERS})
    problems = [
        f"{result.part}: {result.what}: {result.advice}"
        for result in results
        if result.part in SERVERS and result.state is Status.FAILED
    ]
    if problems:
        raise CliError(*problems)


async def set_up(settings: Settings) -> None:
    """Makes everything, on the servers that the settings point to."""
    await asyncio.gather(
        create_topics(settings), create_indexes(settings), create_search_attributes(settings)
    )


async def create_topics(settings: Settings) -> None:
    """Makes the topics that do not exist; leaves those that do as they are.

    Raises `KafkaError` with all that cannot be made, and why.
    """
    admin = AIOKafkaAdminClient(**connection_options(settings), request_timeout_ms=TIMEOUT_MS)
    await admin.start()
    try:
        missing = sorted(set(topics_of(settings)) - set(await admin.list_topics()))
        if not missing:
            return
        brokers = len((await admin.describe_cluster())["brokers"])
        replicas = min(REPLICATION, max(brokers, 1))
        answer = await admin.create_topics(
            [NewTopic(name, PARTITIONS, replicas) for name in missing], timeout_ms=TIMEOUT_MS
        )
        problems = [
            f"topic {result['topic']}: {for_code(result['error_code']).__name__}"
            for result in answer.to_object()["topic_errors"]
            if result["error_code"] not in {0, TopicAlreadyExistsError.errno}
        ]
        if problems:
            raise KafkaError("; ".join(problems))
    finally:
        await admin.close()


async def create_indexes(settings: Settings) -> None:
    """Makes the indexes of all documents.

    Raises `CliError`, and makes none, where the database has carts of another service.
    """
    client = mongo.open_client(settings.mongodb, app_name="cart-setup")
    try:
        database = mongo.database_of(client)
        if foreign := await foreign_carts(database):
            raise CliError(
                f"The database {database.name} has carts of another service: {', '.join(foreign)}."
                " Nothing was changed in it. Name another database in MONGODB_URI, or rename the"
                " collection `carts`."
            )
        await mongo.create_indexes(client)
    finally:
        await mongo.close(client)


async def create_search_attributes(settings: Settings) -> None:
    """Makes the search attributes that the namespace does not have; returns when they can be used.

    Temporal Cloud refuses this call; there they are made once in its console.
    """
    client = await connect(settings)
    known = await _once_heard_of(
        lambda: client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace), timeout=RPC_TIMEOUT
        ),
        unknown=RPCStatusCode.NOT_FOUND,
    )
    missing = {
        name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}")
        for name, kind in SEARCH_ATTRIBUTES.items()
        if name not in known.custom_attributes
    }
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing),
            timeout=RPC_TIMEOUT,
        )
        names = " OR ".join(f"{name} IS NULL" for name in missing)
        await _once_heard_of(
            lambda: client.count_workflows(names, rpc_timeout=RPC_TIMEOUT),
            unknown=RPCStatusCode.INVALID_ARGUMENT,
        )


async def _once_heard_of(
    call: Callable[[], Awaitable[Answer]], *, unknown: RPCStatusCode
) -> Answer:
    """The answer of Temporal, whose servers may not yet know what was only just made."""
    deadline = time.monotonic() + NEWS_SECONDS
    while True:
        try:
            return await call()
        except RPCError as error:
            if error.status is not unknown or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.2)
