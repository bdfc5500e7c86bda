"""Gauges of what the service needs on its servers: topics with leaders, indexes, room on the disk.

A worker looks every `EVERY_SECONDS`. What cannot be read has no sample.
"""

from contextlib import AbstractAsyncContextManager
from functools import partial

import structlog

from adapters.background import repeating
from adapters.kafka.cluster import leaderless_partitions
from adapters.kafka.connection import connection_options, topics_of
from adapters.mongo.client import LIST_SECONDS, MongoClient, bounded, database_of
from adapters.mongo.indexes import compare_indexes
from models.errors import DependencyUnavailable
from settings import Settings
from telemetry.metrics import MONGODB_DISK_USED, SETUP_MISSING, TOPICS_WITHOUT_LEADER

logger = structlog.stdlib.get_logger(__name__)

EVERY_SECONDS = 10.0
KAFKA_SECONDS = 2.0


def showing_setup(settings: Settings, client: MongoClient) -> AbstractAsyncContextManager[None]:
    """Keeps the gauges up to date while a block runs."""

    async def show() -> None:
        for part in (
            partial(show_topics, settings),
            partial(show_indexes, client),
            partial(show_disk, client),
        ):
            try:
                await part()
            except DependencyUnavailable as error:
                logger.debug("setup_unknown", message="A gauge is not known", reason=str(error))

    return repeating("gauges of the setup", show, every_seconds=EVERY_SECONDS)


async def show_topics(settings: Settings) -> None:
    """Sets the gauges of missing topics, and of partitions without a leader."""
    try:
        leaderless = await leaderless_partitions(connection_options(settings), KAFKA_SECONDS)
    except DependencyUnavailable:
        SETUP_MISSING.forget({"kind": "topic"})
        leaderless = {}
        raise
    else:
        SETUP_MISSING.set(len(set(topics_of(settings)) - set(leaderless)), {"kind": "topic"})
    finally:
        for name in topics_of(settings):
            about = {"topic": settings.without_prefix(name)}
            if name in leaderless:
                TOPICS_WITHOUT_LEADER.set(len(leaderless[name]), about)
            else:
                TOPICS_WITHOUT_LEADER.forget(about)


async def show_indexes(client: MongoClient) -> None:
    """Sets the gauge of missing indexes. A different one is reported by `cart doctor` alone."""
    try:
        async with bounded(LIST_SECONDS):
            found = await compare_indexes(database_of(client))
    except DependencyUnavailable:
        SETUP_MISSING.forget({"kind": "index"})
        raise
    SETUP_MISSING.set(len(found.missing), {"kind": "index"})


async def show_disk(client: MongoClient) -> None:
    """Sets the gauge of the disk with MongoDB's data."""
    try:
        async with bounded(LIST_SECONDS):
            stats = await database_of(client).command("dbStats")
    except DependencyUnavailable:
        MONGODB_DISK_USED.forget({})
        raise
    if stats.get("fsTotalSize"):
        MONGODB_DISK_USED.set(100 * stats["fsUsedSize"] / stats["fsTotalSize"], {})
