"""The lines of the production checklist that a server can say."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pymongo
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, GetClusterInfoRequest
from temporalio.service import RPCError

from adapters.kafka.connection import connection_options, topics_of
from adapters.mongo.client import close, database_of, open_client
from cli.doctor.mongodb import TRANSACTION_SECONDS
from cli.doctor.production.lines import Findings, Line
from cli.doctor.reports import recent_processes
from cli.temporal import RPC_TIMEOUT, TemporalPlace
from models.events import DEAD_LETTERS
from ops.words import reason
from settings import Settings

TIMEOUT_SECONDS = 5.0
MEMBERS = 3
REPLICATION = 3
IN_SYNC = 2
LETTERS_DAYS = 7
RETENTION_HOURS = 72
HISTORY_SHARDS = 512
MOST_FEW = 1
_IN_SYNC = "min.insync.replicas"
_DAY_MS = 86_400_000


async def check_mongodb(settings: Settings, findings: Findings) -> None:
    """Three members, and short transactions. Writes wait for a majority, whatever the URI says."""
    options = settings.mongodb_options
    for name, safe in (("w", "majority"), ("journal", "true"), ("retrywrites", "true")):
        if options.get(name, safe).lower() != safe:
            what = f"MONGODB_URI has {name}={options[name]}"
            findings.weak(Line.MONGODB, what, f"take it out: the service needs {name}={safe}")
    client = open_client(settings.mongodb, app_name="cart-doctor")
    try:
        with pymongo.timeout(TIMEOUT_SECONDS):
            hello = await client.admin.command("hello")
            members = len(hello.get("hosts", ()))
            if hello.get("msg") == "isdbgrid":
                findings.unknown(Line.MONGODB, "a router does not say how its shards are made")
            elif members < MEMBERS:
                what = f"members with data: {members}; a majority does not survive the loss of one"
                findings.weak(Line.MONGODB, what, f"add members (rs.add), {MEMBERS} at least")
            name = "transactionLifetimeLimitSeconds"
            try:
                seconds = (await client.admin.command({"getParameter": 1, name: 1}))[name]
            except OperationFailure as error:
                findings.unknown(Line.MONGODB, f"{name}: {reason(error)}")
                return
            if seconds > TRANSACTION_SECONDS:
                findings.weak(
                    Line.MONGODB,
                    f"{name}={seconds}: a worker that dies blocks its cart for so long",
                    f"set it to {TRANSACTION_SECONDS} (setParameter)",
                )
    finally:
        await close(client)


async def check_redis(settings: Settings, findings: Findings) -> None:
    """It evicts when it is full, and a replica can take over."""
    client: Redis = Redis.from_url(
        settings.redis.get_secret_value(), socket_timeout=TIMEOUT_SECONDS
    )
    try:
        memory = await client.info("memory")
        replication = await client.info("replication")
    except ResponseError as error:
        findings.unknown(Line.REDIS, reason(error))
        return
    finally:
        await client.aclose()
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        findings.weak(
            Line.REDIS,
            "maxmemory-policy is noeviction: a full Redis refuses writes",
            "set volatile-lru (`CONFIG SET maxmemory-policy volatile-lru`)",
        )
    if not memory.get("maxmemory"):
        what = "maxmemory is 0: it takes all memory of its machine"
        findings.weak(Line.REDIS, what, "set it (`CONFIG SET maxmemory`)")
    if replication.get("role") == "master" and not replication.get("connected_slaves"):
        findings.weak(Line.REDIS, "it has no replica", "add one, with failover behind one address")


async def check_kafka(settings: Settings, findings: Findings) -> None:
    """Every topic survives the loss of a broker, and dead letters are kept."""
    topics = topics_of(settings)
    admin = AIOKafkaAdminClient(
        **connection_options(settings), request_timeout_ms=round(TIMEOUT_SECONDS * 1000)
    )
    await admin.start()
    try:
        described = await admin.describe_topics()
        wanted = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
        answers: list[Any] = await admin.describe_configs(wanted)
    finally:
        await admin.close()
    for what, advice in _topic_weaknesses(topics, described):
        findings.weak(Line.KAFKA, what, advice)
    configs = {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for answer in answers
        for resource in answer.resources
        if not resource[0]
    }
    if not configs:
        findings.unknown(Line.KAFKA, "the configuration of topics: DescribeConfigs is not allowed")
        return
    if unknown := [one for one, config in configs.items() if _IN_SYNC not in config]:
        findings.unknown(Line.KAFKA, f"the {_IN_SYNC} of {', '.join(unknown)}")
    few = [one for one, config in configs.items() if int(config.get(_IN_SYNC, IN_SYNC)) < IN_SYNC]
    if few:
        findings.weak(
            Line.KAFKA,
            f"{_IN_SYNC} is less than {IN_SYNC}: {', '.join(few)}",
            "set it (kafka-configs --alter): an acknowledged event is then on two brokers",
        )
    letters = configs.get(settings.kafka_topic(DEAD_LETTERS), {})
    kept = int(letters.get("retention.ms", -1))
    if 0 <= kept < LETTERS_DAYS * _DAY_MS:
        what = f"retention.ms={kept} of {settings.kafka_topic(DEAD_LETTERS)}"
        findings.weak(Line.KAFKA, what, f"keep dead letters for {LETTERS_DAYS} days at least")


def _topic_weaknesses(
    topics: list[str], described: list[dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    replicas = {
        one["topic"]: min((len(each["replicas"]) for each in one["partitions"]), default=0)
        for one in described
    }
    if missing := [topic for topic in topics if topic not in replicas]:
        yield f"missing: {', '.join(missing)}", "run `cart setup`"
    few = [topic for topic in topics if replicas.get(topic, REPLICATION) < REPLICATION]
    if few:
        yield (
            f"fewer than {REPLICATION} replicas: {', '.join(few)}",
            "add brokers, then kafka-reassign-partitions",
        )


async def check_temporal(settings: Settings, findings: Findings) -> None:
    """A namespace of its own with its retention, and enough history shards."""
    place = TemporalPlace(settings)
    client = await place.connect()
    if place.namespace == "default":
        what = "the namespace is `default`: others may share it"
        findings.weak(Line.TEMPORAL, what, "set TEMPORAL_NAMESPACE to one of its own")
    described = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=place.namespace), timeout=RPC_TIMEOUT
    )
    hours = described.config.workflow_execution_retention_ttl.ToTimedelta().total_seconds() / 3600
    if hours < RETENTION_HOURS:
        findings.weak(
            Line.TEMPORAL,
            f"closed runs are kept for {hours:g} hours",
            f"`temporal operator namespace update --retention {RETENTION_HOURS}h`",
        )
    try:
        cluster = await client.workflow_service.get_cluster_info(
            GetClusterInfoRequest(), timeout=RPC_TIMEOUT
        )
    except RPCError as error:  # Temporal Cloud does not say
        findings.unknown(Line.TEMPORAL, f"history shards: {reason(error)}")
        return
    if 0 < cluster.history_shard_count < HISTORY_SHARDS:
        findings.weak(
            Line.TEMPORAL,
            f"history shards: {cluster.history_shard_count}, which cannot be changed later",
            f"make the cluster again with {HISTORY_SHARDS}",
        )


async def check_replicas(settings: Settings, findings: Findings) -> None:
    """Two of each process at least, by what they report."""
    client = open_client(settings.mongodb, app_name="cart-doctor")
    try:
        with pymongo.timeout(TIMEOUT_SECONDS):
            database: AsyncDatabase[dict[str, Any]] = database_of(client)
            counts = Counter(await recent_processes(database))
    finally:
        await close(client)
    for kind in ("api", "worker", "consumer"):
        if counts[kind] <= MOST_FEW:
            what = f"{counts[kind] or 'no'} {kind} reports"
            findings.weak(Line.REPLICAS, what, "run two at least, on different machines")
    if not findings.of(Line.REPLICAS):
        what = ", ".join(f"{counts[kind]} {kind}" for kind in sorted(counts))
        findings.ok(Line.REPLICAS, what)
