"""Kafka: the topics that exist, and their partitions without a leader."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from models.errors import DependencyRefuses, DependencyUnavailable

_REFUSALS = (
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
_OF_CONNECTIONS = (
    "security_protocol",
    "ssl_context",
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
    "sasl_oauth_token_provider",
    "client_id",
)


async def leaderless_partitions(
    connection: Mapping[str, Any], timeout: float
) -> dict[str, list[int]]:
    """Each topic that exists, with its partitions that have no leader; mostly there is none.

    Topics that this client may not describe are left out. Raises `DependencyUnavailable` unless a
    broker answers in time, and `DependencyRefuses` when it does not accept the credentials.
    """
    client = AIOKafkaClient(**connection, request_timeout_ms=round(timeout * 1000))
    try:
        async with asyncio.timeout(timeout):
            try:
                await client.bootstrap()
            except KafkaConnectionError:
                await _raise_reason(connection, timeout)
                raise
            cluster = await client.fetch_all_metadata()
            return {
                topic: sorted(
                    (cluster.partitions_for_topic(topic) or set())
                    - (cluster.available_partitions_for_topic(topic) or set())
                )
                for topic in cluster.topics()
            }
    except (KafkaError, OSError, TimeoutError) as error:
        raise _unavailable(error) from error
    finally:
        await client.close()


async def absent_topics(
    connection: Mapping[str, Any], topics: Collection[str], timeout: float
) -> dict[str, str]:
    """Why each of these topics cannot be used, by the name of Kafka's error; none that can.

    Asks for the topics by their names: only then a broker says which of them this client may not
    describe (`TopicAuthorizationFailedError`). Never creates a topic.
    """
    client = AIOKafkaClient(**connection, request_timeout_ms=round(timeout * 1000))
    try:
        async with asyncio.timeout(timeout):
            await client.bootstrap()
            request = MetadataRequest(sorted(topics), allow_auto_topic_creation=False)
            answer = await client.send(client.get_random_node(), request)
    except (KafkaError, OSError, TimeoutError) as error:
        raise _unavailable(error) from error
    finally:
        await client.close()
    return {
        one["topic"]: for_code(one["error_code"]).__name__
        for one in answer.to_object()["topics"]
        if one["error_code"]
    }


def _unavailable(error: BaseException) -> DependencyUnavailable:
    kind = DependencyRefuses if isinstance(error, _REFUSALS) else DependencyUnavailable
    return kind("kafka", repr(error))


async def _raise_reason(connection: Mapping[str, Any], timeout: float) -> None:
    """Raises the error of a connection to the first broker, which the client only logs."""
    host, _, port = connection["bootstrap_servers"][0].rpartition(":")
    options = {name: connection[name] for name in _OF_CONNECTIONS if name in connection}
    conn = await create_conn(
        host.strip("[]"), int(port), request_timeout_ms=round(timeout * 1000), **options
    )
    conn.close()
