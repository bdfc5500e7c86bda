"""Connections and services of the API: opened at startup, closed at shutdown.

Routes depend on the protocols in here, so that a test can pass its own implementations:
`create_app(settings, state=…)`.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from starlette.requests import HTTPConnection
from temporalio.client import Client
from temporalio.service import RPCError

from adapters.inventory import InventoryClient
from adapters.kafka import publisher
from adapters.keyring import Keyring
from adapters.mongo.carts import CartFilter, CartScope, CartStore, Owner
from adapters.mongo.history import CartHistory, PastChange
from adapters.mongo.intake import IntakeHolds
from adapters.mongo.operations import OperationStore
from adapters.mongo.reports import reporting
from adapters.mongo.store_policies import StorePolicies
from adapters.mongo.store_settings import StoreSettingsStore
from adapters.products import ProductClient
from adapters.redis.answers import AnswerInbox
from adapters.redis.cart_cache import CartCache
from adapters.redis.log_levels import LevelOverride, LogLevels
from adapters.redis.pool import RedisPool
from adapters.redis.rate_limits import RateLimiter
from adapters.redis.stock_cache import StockCache
from adapters.single_flight import SingleFlight
from api.auth.tokens import Authenticator
from api.availability import Availability
from api.health import PROBE_SECONDS, HealthChecks, Probe
from api.intake import Intake
from api.limits import RateLimits
from api.live import LiveCarts
from api.owners import Owners
from api.pricing import Products
from models.cart import CartKey, CartVersion
from models.documents import Cart, OperationRecord
from models.errors import DependencyUnavailable
from models.limits import Policy
from models.operations import CartOperation
from models.outcomes import OperationResult, StoredAnswer
from models.store_settings import StoredSettings, StoreSettings
from ops.connections import Connections, connections_over
from settings import Settings
from workflows.connection import connect, unavailable
from workflows.gateway import CartGateway, Started
from workflows.pages import Pages
from workflows.requests import policy_of


class Carts(Protocol):
    """Reads of carts (`adapters.mongo.carts.CartStore`)."""

    async def cart(self, key: CartKey) -> Cart | None: ...
    async def version(self, key: CartKey) -> CartVersion | None: ...
    async def versions(self, keys: Collection[CartKey]) -> dict[CartKey, CartVersion]: ...
    async def cart_by_id(self, cart_id: str) -> Cart | None: ...
    async def owner(self, cart_id: str, scope: CartScope | None) -> Owner | None: ...
    async def store_carts(
        self, store_id: str, where: CartFilter, *, page: int, limit: int
    ) -> tuple[list[Cart], int]: ...


class Operations(Protocol):
    """Reads of operation records (`adapters.mongo.operations.OperationStore`)."""

    async def record(self, record_id: str) -> OperationRecord | None: ...
    async def committed_record(
        self, operation_id: str, cart: CartKey
    ) -> OperationRecord | None: ...
    async def latest_record(self, operation_id: str, store_id: str) -> OperationRecord | None: ...
    async def answer(self, record: OperationRecord) -> StoredAnswer | None: ...


class History(Protocol):
    """Reads of past changes (`adapters.mongo.history.CartHistory`)."""

    async def changes(
        self, cart_id: str, key: CartKey, *, before: int | None, limit: int
    ) -> list[PastChange]: ...


class Cache(Protocol):
    """Cached carts (`adapters.redis.cart_cache.CartCache`)."""

    async def get(self, key: CartKey, version: CartVersion) -> bytes | None: ...
    async def fill(self, key: CartKey, version: int, body: bytes) -> None: ...


class Gateway(Protocol):
    """Starts and finds operations (`workflows.gateway.CartGateway`)."""

    async def start(self, request: CartOperation) -> Started: ...
    async def result(self, started: Started, *, wait_seconds: float) -> OperationResult | None: ...
    async def find(
        self, store_id: str, operation_id: str, *, user_id: str | None
    ) -> OperationResult | None: ...


class Policies(Protocol):
    """The policy of each store (`adapters.mongo.store_policies.StorePolicies`)."""

    usual: Policy

    async def of(self, store_id: str) -> Policy: ...
    def forget(self, store_id: str) -> None: ...


class SettingsOfStores(Protocol):
    """What stores set for themselves (`adapters.mongo.store_settings.StoreSettingsStore`)."""

    async def read(self, store_id: str) -> StoredSettings | None: ...
    async def write(
        self,
        store_id: str,
        settings: StoreSettings,
        *,
        by: str,
        at: datetime,
        version: int | None = None,
    ) -> StoredSettings | None: ...


class Levels(Protocol):
    """Sets the log level of every process (`adapters.redis.log_levels.LogLevels`)."""

    async def override(self, level: str, *, seconds: int) -> LevelOverride: ...


@dataclass(frozen=True, slots=True)
class ApiState:
    """Everything the routes use.

    `policies` are what operations that start take with them. `products` is None without a product
    service, `ops` without the operators' page. `loads` are the reads from MongoDB that are in
    progress after a cache miss.
    """

    settings: Settings
    policies: Policies
    store_settings: SettingsOfStores
    authenticator: Authenticator
    carts: Carts
    operations: Operations
    history: History
    cache: Cache
    availability: Availability
    gateway: Gateway
    health: HealthChecks
    limits: RateLimits
    log_levels: Levels
    intake: Intake
    live: LiveCarts
    pages: Pages
    keyring: Keyring
    products: Products | None = None
    ops: Connections | None = None
    loads: SingleFlight[Cart | None] = field(default_factory=SingleFlight)
    owners: Owners = field(default_factory=Owners)


def state_of(connection: HTTPConnection) -> ApiState:
    """The state of the application that serves a request."""
    state: ApiState = connection.app.state.api
    return state


@asynccontextmanager
async def open_state(settings: Settings) -> AsyncIterator[ApiState]:
    """Opens all connections. Does not fail while systems are unavailable; clients reconnect."""
    async with AsyncExitStack() as stack:
        carts = await CartStore.connect(settings.mongodb, app_name="cart-api")
        stack.push_async_callback(carts.close)
        keyring = Keyring(settings.secrets_of_data)
        redis = RedisPool(settings.redis)
        stack.push_async_callback(redis.close)
        inventory = InventoryClient.of(settings)
        stack.push_async_callback(inventory.close)
        stock = StockCache(redis, keyring, ttl_seconds=settings.inventory_cache_ttl)
        availability = Availability(stock, inventory.check)
        stack.push_async_callback(availability.close)
        authenticator = Authenticator(settings)
        stack.push_async_callback(authenticator.close)
        log_levels = LogLevels(redis, keyring, usual=settings.log_level)
        await stack.enter_async_context(log_levels.following())
        intake = Intake(IntakeHolds().active)
        await stack.enter_async_context(intake.following())
        await intake.first_read()
        store_settings = StoreSettingsStore()
        policies = StorePolicies(policy_of(settings), store_settings.read_all)
        stack.push_async_callback(policies.close)
        temporal = await connect(settings, lazy=True)
        live = LiveCarts(
            carts.versions,
            is_connected=lambda: inbox.is_listening,
            per_user=settings.live_streams_per_user,
            most=settings.most_live_streams,
        )
        await stack.enter_async_context(live.following())
        inbox = AnswerInbox(settings.redis, keyring, on_change=live.note)
        inbox.open()
        stack.push_async_callback(inbox.close)
        products = ProductClient.of(settings) if settings.product_service else None
        if products is not None:
            stack.push_async_callback(products.close)
        probes: dict[str, Probe] = {
            "mongodb": carts.ping,
            "redis": redis.ping,
            "kafka": partial(publisher.ping, settings, timeout=PROBE_SECONDS),
            "temporal": partial(_ping_temporal, temporal),
            "inventory": inventory.ping,
        }
        if products is not None:
            probes["products"] = products.ping
        health = HealthChecks(probes)
        stack.push_async_callback(health.close)
        gateway = CartGateway(
            temporal,
            task_queue=settings.temporal_task_queue,
            lock_wait_seconds=settings.cart_lock_wait_seconds,
            inbox=inbox,
            fallback_seconds=settings.answer_fallback_ms / 1000,
        )
        watched = [*inventory.breakers, redis.breaker, gateway.breaker]
        if products is not None:
            watched.append(products.breaker)
        await stack.enter_async_context(reporting("api", watched))
        yield ApiState(
            settings=settings,
            policies=policies,
            store_settings=store_settings,
            authenticator=authenticator,
            carts=carts,
            operations=OperationStore(carts.client, keyring),
            history=CartHistory(),
            cache=CartCache(redis, keyring, ttl_seconds=settings.cart_cache_ttl),
            availability=availability,
            gateway=gateway,
            health=health,
            log_levels=log_levels,
            limits=RateLimits(
                RateLimiter(redis),
                per_user=settings.rate_limit_per_user,
                per_address=settings.rate_limit_per_address,
                guests_per_address=settings.rate_limit_guests_per_address,
            ),
            intake=intake,
            live=live,
            pages=Pages(settings.temporal_ui, temporal.namespace),
            keyring=keyring,
            products=products,
            ops=connections_over(settings, temporal, carts.client, gateway)
            if settings.enable_ops_page
            else None,
        )


async def _ping_temporal(client: Client) -> None:
    try:
        healthy = await client.service_client.check_health(timeout=timedelta(seconds=PROBE_SECONDS))
    except (RPCError, RuntimeError) as error:  # RuntimeError: a lazy client that cannot connect
        raise unavailable(error) from error
    if not healthy:
        raise DependencyUnavailable("temporal", "the server reports that it is not serving")
