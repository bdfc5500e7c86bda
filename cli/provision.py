"""Makes what the service needs on its servers; running it again changes nothing.

Kafka topics, MongoDB indexes, and Temporal's search attributes. The local stack calls it at each
start, deployments once for each release (`cart setup`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.service import RPCError, RPCStatusCode

from adapters.kafka.publisher import connection_options
from adapters.mongo import client as mongo
from models.events import TOPICS
from settings import Settings
from workflows.connection import RPC_TIMEOUT, connect
from workflows.ids import SEARCH_ATTRIBUTES

PARTITIONS = 3
REPLICATION = 3  # or as many brokers as there are
TIMEOUT_MS = 10_000
NEWS_SECONDS = 15.0
"""How long it may take Temporal's servers to hear of a namespace or attribute: they look for news
every 2 s, older ones every 10."""

Answer = TypeVar("Answer")


async def set_up(settings: Settings) -> None:
    """Makes everything, on the servers that the settings point to."""
    await asyncio.gather(
        create_topics(settings), create_indexes(settings), create_search_attributes(settings)
    )


async def create_topics(settings: Settings) -> None:
    """Makes the topics that do not exist; raises `KafkaError` when one cannot be made."""
    admin = AIOKafkaAdminClient(**connection_options(settings), request_timeout_ms=TIMEOUT_MS)
    await admin.start()
    try:
        missing = sorted(set(TOPICS) - set(await admin.list_topics()))
        if not missing:
            return
        brokers = len((await admin.describe_cluster())["brokers"])
        replicas = min(REPLICATION, max(brokers, 1))
        answer = await admin.create_topics(
            [NewTopic(name, PARTITIONS, replicas) for name in missing], timeout_ms=TIMEOUT_MS
        )
        for result in answer.to_object()["topic_errors"]:
            code = result["error_code"]
            if code not in {0, TopicAlreadyExistsError.errno}:
                raise KafkaError(f"topic {result['topic']}: {for_code(code).__name__}")
    finally:
        await admin.close()


async def create_indexes(settings: Settings) -> None:
    """Makes the indexes of carts and operation records."""
    client = mongo.open_client(settings.mongodb, app_name="cart-setup")
    try:
        await mongo.create_indexes(client)
    finally:
        await mongo.close(client)


async def create_search_attributes(settings: Settings) -> None:
    """Makes the search attributes that the namespace does not have; returns when they can be used.

    Temporal Cloud refuses this call; there they are made once in its console.
    """
    client = await connect(settings)
    known = await _once_heard_of(
        partial(
            client.operator_service.list_search_attributes,
            ListSearchAttributesRequest(namespace=client.namespace),
            timeout=RPC_TIMEOUT,
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
            partial(client.count_workflows, names, rpc_timeout=RPC_TIMEOUT),
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
