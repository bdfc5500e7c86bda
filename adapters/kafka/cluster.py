"""Kafka: the topics that exist, and their partitions without a leader."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from models.errors import DependencyUnavailable


async def leaderless_partitions(
    connection: Mapping[str, Any], timeout: float
) -> dict[str, list[int]]:
    """Each topic that exists, with its partitions that have no leader; mostly there is none.

    Raises `DependencyUnavailable` unless a broker answers in time.
    """
    client = AIOKafkaClient(**connection, request_timeout_ms=round(timeout * 1000))
    try:
        async with asyncio.timeout(timeout):
            await client.bootstrap()
            cluster = await client.fetch_all_metadata()
            return {
                topic: sorted(
                    (cluster.partitions_for_topic(topic) or set())
                    - (cluster.available_partitions_for_topic(topic) or set())
                )
                for topic in cluster.topics()
            }
    except (KafkaError, OSError, TimeoutError) as error:
        raise DependencyUnavailable("kafka", repr(error)) from error
    finally:
        await client.close()
