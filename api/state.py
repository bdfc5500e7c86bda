"""What the API works with: opened at start, closed at shutdown, handed to the routes.

The routes know the systems by what they ask of them (the protocols), so that a test can put its own
in their place: `create_app(settings, state=…)`.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from starlette.requests import HTTPConnection
from temporalio.client import Client
from temporalio.service import RPCError

from adapters.inventory import InventoryClient
from adapters.kafka import publisher as events
from adapters.mongo.carts import CartFilter, CartStore, Owner
from adapters.mongo.intake import IntakeHolds
from adapters.redis.answers import Announced, AnswerInbox
from adapters.redis.cart_cache import CartCache, Found
from adapters.redis.log_levels import AskedLevel, LogLevels
from adapters.redis.pool import RedisPool
from adapters.redis.rate_limits import RateLimiter
from adapters.redis.stock_cache import StockCache
from api.auth.tokens import Authenticator
from api.availability import Availability
from api.health import PROBE_SECONDS, HealthChecks
from api.intake import Intake
from api.limits import RateLimits
from api.owners import Owners
from api.single_flight import SingleFlight
from models.cart import Cart
from models.errors import DependencyUnavailable
from models.messages import CartOperation, OperationResult, Policy
from models.operation import Operation
from settings import Settings
from workflows.gateway import CartGateway, Started, connect, policy_of
from workflows.pages import Pages


class Carts(Protocol):
    """Reads of carts and operation records (`adapters.mongo.carts.CartStore`)."""

    async def cart(self, store_id: str, user_id: str) -> Cart | None: ...
    async def cart_by_id(self, cart_id: str) -> Cart | None: ...
    async def owner(self, cart_id: str) -> Owner | None: ...
    async def store_carts(
        self, store_id: str, where: CartFilter, *, page: int, limit: int
    ) -> tuple[list[Cart], int]: ...
    async def record(self, run_id: str) -> Operation | None: ...
    async def committed_record(self, operation_id: str) -> Operation | None: ...
    async def latest_record(self, operation_id: str) -> Operation | None: ...


class Cache(Protocol):
    """Cached carts (`adapters.redis.cart_cache.CartCache`)."""

    async def get(self, store_id: str, user_id: str) -> Found: ...
    async def put(
        self, store_id: str, user_id: str, *, created_at: datetime, version: int, body: bytes
    ) -> bool: ...
    async def drop(self, store_id: str, user_id: str, *, at: datetime) -> None: ...


class Gateway(Protocol):
    """Starts and finds operations (`workflows.gateway.CartGateway`)."""

    async def start(self, request: CartOperation) -> Started: ...
    async def result(self, started: Started, *, wait_seconds: float) -> Announced | None: ...
    async def find(
        self, store_id: str, operation_id: str, *, user_id: str | None
    ) -> OperationResult | None: ...


class Levels(Protocol):
    """Tells every process its log level (`adapters.redis.log_levels.LogLevels`)."""

    async def ask(self, level: str, *, seconds: int) -> AskedLevel: ...


@dataclass(frozen=True, slots=True)
class ApiState:
    """Everything the routes use.

    `policy` is what operations that start now take with them, `loads` are the carts that are being
    read from MongoDB because the cache has none.
    """

    settings: Settings
    policy: Policy
    authenticator: Authenticator
    carts: Carts
    cache: Cache
    availability: Availability
    gateway: Gateway
    health: HealthChecks
    limits: RateLimits
    log_levels: Levels
    intake: Intake
    pages: Pages
    loads: SingleFlight[Cart | None] = field(default_factory=SingleFlight)
    owners: Owners = field(default_factory=Owners)


def state_of(connection: HTTPConnection) -> ApiState:
    """The state of the application that serves a request."""
    state: ApiState = connection.app.state.api
    return state


@asynccontextmanager
async def open_state(settings: Settings) -> AsyncIterator[ApiState]:
    """Connects to everything; succeeds while systems are away, they are used when they are back."""
    async with AsyncExitStack() as stack:
        carts = await CartStore.connect(settings.mongodb, app_name="cart-api")
        stack.push_async_callback(carts.close)
        redis = RedisPool(settings.redis)
        stack.push_async_callback(redis.close)
        inventory = InventoryClient(
            settings.inventory, timeout_seconds=settings.inventory_timeout_seconds
        )
        stack.push_async_callback(inventory.close)
        availability = Availability(
            StockCache(redis, ttl_seconds=settings.inventory_cache_ttl), inventory
        )
        stack.push_async_callback(availability.close)
        authenticator = Authenticator(settings)
        stack.push_async_callback(authenticator.close)
        log_levels = LogLevels(redis, usual=settings.log_level)
        log_levels.open()
        stack.push_async_callback(log_levels.close)
        intake = Intake(IntakeHolds())
        await intake.open()
        stack.push_async_callback(intake.close)
        temporal = await connect(settings, lazy=True)
        inbox = AnswerInbox(settings.redis)
        inbox.open()
        stack.push_async_callback(inbox.close)
        health = HealthChecks(
            mongodb=carts.ping,
            redis=redis.ping,
            kafka=partial(events.ping, settings, timeout=PROBE_SECONDS),
            temporal=partial(_ping_temporal, temporal),
            inventory=inventory.ping,
        )
        stack.push_async_callback(health.close)
        yield ApiState(
            settings=settings,
            policy=policy_of(settings),
            authenticator=authenticator,
            carts=carts,
            cache=CartCache(redis, ttl_seconds=settings.cart_cache_ttl),
            availability=availability,
            gateway=CartGateway(
                temporal,
                task_queue=settings.temporal_task_queue,
                lock_wait_seconds=settings.cart_lock_wait_seconds,
                inbox=inbox,
                fallback_seconds=settings.answer_fallback_ms / 1000,
            ),
            health=health,
            log_levels=log_levels,
            limits=RateLimits(
                RateLimiter(redis),
                per_user=settings.rate_limit_per_user,
                per_address=settings.rate_limit_per_address,
            ),
            intake=intake,
            pages=Pages(settings.temporal_ui, temporal.namespace),
        )


async def _ping_temporal(client: Client) -> None:
    try:
        healthy = await client.service_client.check_health(timeout=timedelta(seconds=PROBE_SECONDS))
    except (RPCError, RuntimeError) as error:  # RuntimeError: a lazy client that cannot connect
        raise DependencyUnavailable("temporal", str(error)) from error
    if not healthy:
        raise DependencyUnavailable("temporal", "the server says it is not serving")
