"""The test rig: a local stack with a proxy on each link, and two workers and a consumer with hooks.

    workers -> proxy -> MongoDB, Redis, Temporal, inventory
    api, consumer -> proxy -> MongoDB, Redis, Temporal (one proxy for each pair)
    all processes -> proxy -> Kafka (the broker advertises the proxy's address)
    inventory -> MongoDB, and the clients of the test: direct

So each link between a process and a server can fail alone.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from temporalio.client import Client

from dev.stack.ports import free_ports, more_free_ports
from dev.stack.process import ProcessSpec
from dev.stack.production import ENVIRONMENT as PRODUCTION
from dev.stack.stack import Stack
from settings import LOCALHOST, Settings, load_settings
from tests.faults.partial.kafka import KafkaConversation
from tests.faults.partial.mongodb import MongoConversation
from tests.faults.partial.redis import RedisConversation
from tests.faults.partial.rules import Conversation
from tests.faults.proxy import Proxy
from tests.faults.published_events import PublishedEvents
from tests.faults.resending_producer import ResendingProducer
from tests.faults.triggers import TriggerServer
from workflows.connection import connect

WORKER_LINKS = ("mongodb", "redis", "temporal", "inventory", "kafka")
API_LINKS = ("mongodb", "redis", "temporal")
CONSUMER_LINKS = tuple(f"consumer-{name}" for name in API_LINKS)
WORKERS = ("worker", "worker-2")
"""The worker processes, on one task queue and one set of links."""
LINKS = (*(f"worker-{name}" for name in WORKER_LINKS), *(f"api-{name}" for name in API_LINKS))

SPEAKS: Mapping[str, Callable[[], Conversation]] = {
    "mongodb": MongoConversation,
    "redis": RedisConversation,
    "kafka": KafkaConversation,
}
"""The servers whose requests the proxies can read."""

# Shorter times than in production, so that they end within a test.
TEST_SETTINGS = {
    "CART_ENV_FILE": "",
    "ENVIRONMENT": "test",
    "LOG_LEVEL": "info",
    "OPERATION_WAIT_SECONDS": "3",
    "INVENTORY_FAULTS": "true",
    "INVENTORY_TIMEOUT_SECONDS": "2",
    "LOCK_TTL": "6",
    "ORPHAN_RELEASE_SECONDS": "1",
    "RELAY_SHARDS": "4",
}


@dataclass
class FaultRig:
    """The running stack, with handles on all that can be broken and all that is stored."""

    settings: Settings
    stack: Stack
    links: Mapping[str, Proxy]
    triggers: TriggerServer
    http: httpx.AsyncClient
    inventory: httpx.AsyncClient
    database: AsyncDatabase[dict[str, Any]]
    temporal: Client
    published: PublishedEvents
    producer: ResendingProducer
    production: bool


class _ProxiedStack(Stack):
    """The local stack, whose processes reach the servers through the proxies."""

    def __init__(
        self,
        settings: Settings,
        env: Mapping[str, str],
        links: Mapping[str, Proxy],
        triggers: str,
        echo: Callable[[str], None],
        *,
        production: bool,
    ) -> None:
        advertised = f"{LOCALHOST}:{links['worker-kafka'].port}"
        super().__init__(settings, env, echo, production=production, kafka_advertised=advertised)
        self._links = links
        self._control = triggers

    def _specs(self) -> list[ProcessSpec]:
        specs = [self._proxied(spec) for spec in super()._specs()]
        [worker] = [spec for spec in specs if spec.name == WORKERS[0]]
        others = [
            replace(worker, name=name, env={**worker.env, "CART_TEST_WORKER": name})
            for name in WORKERS[1:]
        ]
        return [*specs, *others]

    def _proxied(self, spec: ProcessSpec) -> ProcessSpec:
        match spec.name:
            case "worker":
                module = "tests.faults.worker_under_test"
                return replace(spec, argv=(spec.argv[0], "-m", module), env=self._addresses(spec))
            case "consumer":
                module = "tests.faults.consumer_under_test"
                return replace(spec, argv=(spec.argv[0], "-m", module), env=self._addresses(spec))
            case "api":
                module = "tests.faults.api_under_test"
                return replace(spec, argv=(spec.argv[0], "-m", module), env=self._addresses(spec))
        return spec

    def _addresses(self, spec: ProcessSpec) -> dict[str, str]:
        def at(server: str) -> str:
            return f"{LOCALHOST}:{self._links[f'{spec.name}-{server}'].port}"

        env = dict(spec.env) | {
            # A direct connection, since the replica set advertises the address behind the proxy.
            "MONGODB_URI": f"mongodb://{at('mongodb')}/cart-service?directConnection=true",
            "REDIS_URL": f"redis://{at('redis')}/0",
            "TEMPORAL_ADDRESS": at("temporal"),
            "CART_TEST_CONTROL": self._control,
            "CART_TEST_WORKER": spec.name,
        }
        if spec.name == "worker":
            env["INVENTORY_SERVICE_URL"] = f"http://{at('inventory')}"
        return env


@asynccontextmanager
async def running_rig(
    folder: Path, echo: Callable[[str], None], *, production: bool = False
) -> AsyncIterator[FaultRig]:
    """Starts everything on free ports with its data in `folder`, and stops it on exit."""
    servers = free_ports()
    names = (*LINKS, *CONSUMER_LINKS)
    ports = more_free_ports(len(names) + 1)
    env = _environment(folder, servers) | (PRODUCTION if production else {})
    with _environ(env):
        settings = load_settings()
        async with AsyncExitStack() as held:
            links = {
                name: Proxy(
                    name, ports.pop(), _upstream(settings, name), SPEAKS.get(name.split("-")[1])
                )
                for name in names
            }
            for link in links.values():
                await held.enter_async_context(link)
            triggers = await held.enter_async_context(TriggerServer(ports.pop()))
            stack = _ProxiedStack(
                settings, env, links, triggers.address, echo, production=production
            )
            await held.enter_async_context(stack)
            mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
                settings.mongodb.get_secret_value(), tz_aware=True
            )
            held.push_async_callback(mongo.close)
            # One connection for each shopper at once.
            limits = httpx.Limits(max_connections=256, max_keepalive_connections=64)
            http = await held.enter_async_context(
                httpx.AsyncClient(
                    base_url=f"http://{LOCALHOST}:{settings.port}",
                    timeout=httpx.Timeout(20, connect=1),
                    limits=limits,
                    trust_env=False,
                )
            )
            inventory = await held.enter_async_context(
                httpx.AsyncClient(base_url=settings.inventory, timeout=10, trust_env=False)
            )
            producer = ResendingProducer(settings)
            held.push_async_callback(producer.close)
            yield FaultRig(
                settings=settings,
                stack=stack,
                links=links,
                triggers=triggers,
                http=http,
                inventory=inventory,
                database=mongo.get_default_database("cart-service"),
                temporal=await connect(settings),
                published=PublishedEvents(settings),
                producer=producer,
                production=production,
            )


def _upstream(settings: Settings, link: str) -> int:
    port: int = getattr(settings, f"{link.partition('-')[2]}_port")
    return port


def _environment(folder: Path, servers: Mapping[str, int]) -> dict[str, str]:
    """The environment without any setting of the service, so that no real server is reached."""
    known = {name.upper() for name in Settings.model_fields} | {"NODE_ENV"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in known and not name.startswith("TEMPORAL_")
    }
    ports = {name: str(port) for name, port in servers.items()}
    return kept | TEST_SETTINGS | ports | {"LOCAL_DIR": str(folder)}


@contextmanager
def _environ(env: Mapping[str, str]) -> Iterator[None]:
    """Sets the environment of this process, as clients read variables of their own."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
