"""In-memory fakes of the collaborators of the API, with switches to let them fail."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from adapters.inventory import Stock
from adapters.mongo.carts import CartFilter, CartScope, Owner
from adapters.mongo.history import PastChange
from adapters.mongo.store_policies import StorePolicies
from adapters.redis.log_levels import LevelOverride
from adapters.redis.rate_limits import Allowance
from api.app import create_app
from api.auth.tokens import Authenticator
from api.availability import Availability
from api.health import HealthChecks
from api.intake import Intake
from api.limits import RateLimits
from api.live import LiveCarts
from api.state import ApiState
from cli.token import mint_token
from models.cart import CartKey, CartVersion
from models.documents import Cart, OperationRecord
from models.errors import DependencyUnavailable
from models.intake import IntakeHold
from models.operations import AddItem, CartOperation
from models.outcomes import OperationResult, Outcome, StoredAnswer
from models.store_settings import StoredSettings, StoreSettings
from ops.connections import Connections
from settings import LogLevel, Settings
from tests.support.actors import SHOPPER
from tests.support.keys import KEYRING
from workflows.gateway import CartHandle, Started
from workflows.ids import cart_workflow_id
from workflows.pages import Pages
from workflows.requests import policy_of

STORE, USER = "store-1", "user-1"
URL = f"/api/v1/cart/{STORE}/store"
RUN_ID = "6f2d8a3e-0000-4000-8000-000000000001"
RECORD_ID = f"{'0' * 32}-1769509800000"
SECRET = "a-secret-for-tests-that-is-long-enough-for-hs256"
ITEM: dict[str, Any] = {
    "productId": "507f1f77bcf86cd799439011",
    "productTitle": "Wireless Headphones",
    "productImage": "https://example.com/image.jpg",
    "productPrice": 79.99,
    "productDescription": "Premium wireless headphones",
    "quantity": 2,
}

Lookup = OperationResult | Exception | None


def settings_for_tests(**changed: Any) -> Settings:
    """Settings that ignore the environment."""
    return Settings(jwt_secret=SecretStr(SECRET), operation_wait_seconds=1, **changed)


def result_of(outcome: Outcome, **more: Any) -> OperationResult:
    return OperationResult(
        outcome=outcome,
        operation="AddItem",
        operation_id="0" * 32,
        record_id=RECORD_ID,
        saga_id="cart-1-user-1-product-1",
        **more,
    )


def record_of(operation_id: str = "0" * 32, **changed: Any) -> OperationRecord:
    """A committed record of `USER`'s, unless `changed`."""
    values: dict[str, Any] = {
        "id": RECORD_ID,
        "state": "committed",
        "operation": "AddItem",
        "operation_id": operation_id,
        "run_id": RUN_ID,
        "saga_id": "cart-1-user-1-product-1",
        "fingerprint": "f",
        "actor": SHOPPER,
        "store_id": STORE,
        "user_id": USER,
        "answer": StoredAnswer(status=201, body='{"quantity":2,"totalPrice":159.90}'),
        "pending": False,
        "at": datetime(2026, 1, 27, tzinfo=UTC),
    }
    # Not by its constructor, for which Beanie wants a database.
    record: OperationRecord = OperationRecord.model_construct(None, **(values | changed))
    return record


def cart_of(**changed: Any) -> Cart:
    now = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
    values: dict[str, Any] = {
        "id": "507f1f77bcf86cd799439013",
        "user_id": USER,
        "store_id": STORE,
        "currency": "USD",
        "email": "secret@example.com",
        "version": 3,
        "expire_at": now,
        "created_at": now,
        "updated_at": now,
    }
    return Cart.model_construct(None, **(values | changed))


@dataclass
class FakeGateway:
    """`outcome` is the result of each operation; `found` that of `find` (default: unknown)."""

    outcome: Lookup = None
    refuses: Exception | None = None
    found: Lookup = field(default_factory=KeyError)
    started: list[CartOperation] = field(default_factory=list)
    looked_up: list[tuple[str, str, str | None]] = field(default_factory=list)

    @property
    def added(self) -> list[AddItem]:
        return [request for request in self.started if isinstance(request, AddItem)]

    async def start(self, request: CartOperation) -> Started:
        self.started.append(request)
        if self.refuses is not None:
            raise self.refuses
        run = SimpleNamespace(id=cart_workflow_id(STORE, USER), run_id=RUN_ID)
        return Started(request.operation_id, cast(CartHandle, run), request.attempt_id)

    async def result(self, started: Started, *, wait_seconds: float) -> OperationResult | None:
        assert started.operation_id
        assert wait_seconds > 0
        return _given(self.outcome)

    async def find(
        self, store_id: str, operation_id: str, *, user_id: str | None
    ) -> OperationResult | None:
        self.looked_up.append((store_id, operation_id, user_id))
        return _given(self.found)


def _given(outcome: Lookup) -> OperationResult | None:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


@dataclass
class FakeMongo:
    """Carts and operation records; `down` makes every read fail as MongoDB's absence does.

    A cart that is found comes when `gate` opens. `reads` counts all calls, `loads` those that read
    a user's whole cart.
    """

    gate: asyncio.Event = field(default_factory=_open_gate)
    carts: dict[tuple[str, str], Cart] = field(default_factory=dict)
    records: list[OperationRecord] = field(default_factory=list)
    changed: list[PastChange] = field(default_factory=list)
    down: bool = False
    reads: int = 0
    loads: int = 0

    async def cart(self, key: CartKey) -> Cart | None:
        self._read()
        self.loads += 1
        found = self.carts.get(key)
        if found is not None:
            await self.gate.wait()
        return found

    async def version(self, key: CartKey) -> CartVersion | None:
        self._read()
        found = self.carts.get(key)
        return CartVersion(str(found.id), found.version) if found else None

    async def versions(self, keys: Collection[CartKey]) -> dict[CartKey, CartVersion]:
        self._read()
        found = {key: self.carts[key] for key in keys if key in self.carts}
        return {key: CartVersion(str(cart.id), cart.version) for key, cart in found.items()}

    async def cart_by_id(self, cart_id: str) -> Cart | None:
        self._read()
        return next((c for c in self.carts.values() if str(c.id) == cart_id), None)

    async def owner(self, cart_id: str, scope: CartScope | None) -> Owner | None:
        cart = await self.cart_by_id(cart_id)
        return Owner(cart.key, cart) if cart and (scope is None or scope.covers(cart.key)) else None

    async def store_carts(
        self, store_id: str, where: CartFilter, *, page: int, limit: int
    ) -> tuple[list[Cart], int]:
        self._read()
        assert where.query(store_id)["storeId"] == store_id
        carts = [cart for cart in self.carts.values() if cart.store_id == store_id]
        return carts[(page - 1) * limit : page * limit], len(carts)

    async def changes(
        self, cart_id: str, key: CartKey, *, before: int | None, limit: int
    ) -> list[PastChange]:
        self._read()
        assert cart_id
        assert key.user_id == USER
        return [one for one in self.changed if before is None or one.version < before][:limit]

    async def record(self, record_id: str) -> OperationRecord | None:
        self._read()
        return next((record for record in self.records if record.id == record_id), None)

    async def committed_record(self, operation_id: str, cart: CartKey) -> OperationRecord | None:
        self._read()
        records = (r for r in self.records if r.operation_id == operation_id)
        return next((r for r in records if r.state == "committed"), None)

    async def answer(self, record: OperationRecord) -> StoredAnswer | None:
        self._read()
        answer = record.answer
        return answer if answer is None or answer.body is not None else None

    async def latest_record(self, operation_id: str, store_id: str) -> OperationRecord | None:
        self._read()
        return next((r for r in self.records if r.operation_id == operation_id), None)

    def _read(self) -> None:
        self.reads += 1
        if self.down:
            raise DependencyUnavailable("mongodb", "down")


@dataclass
class FakeCache:
    """Bodies by cart and version; `down` makes every call fail as Redis' absence does."""

    bodies: dict[tuple[CartKey, int], bytes] = field(default_factory=dict)
    gets: int = 0
    down: bool = False

    async def get(self, key: CartKey, version: CartVersion) -> bytes | None:
        self._call()
        self.gets += 1
        return self.bodies.get((key, version.version))

    async def fill(self, key: CartKey, version: int, body: bytes) -> None:
        self._call()
        assert version > 0
        self.bodies[key, version] = body

    def _call(self) -> None:
        if self.down:
            raise DependencyUnavailable("redis", "down")


@dataclass
class FakeStock:
    """The inventory and the stock cache, with units by product.

    A check of a product without an entry fails; checks return once `gate` is set.
    """

    gate: asyncio.Event = field(default_factory=_open_gate)
    inventory: dict[str, Stock] = field(default_factory=dict)
    cached: dict[str, Stock] = field(default_factory=dict)
    reads: int = 0
    checks: list[str] = field(default_factory=list)

    async def get(self, store_id: str, products: Collection[str]) -> dict[str, Stock]:
        assert store_id
        self.reads += 1
        return {product: self.cached[product] for product in products if product in self.cached}

    async def put(self, store_id: str, product: str, stock: Stock) -> None:
        assert store_id
        self.cached[product] = stock

    async def check(self, store_id: str, product_id: str) -> Stock:
        assert store_id
        self.checks.append(product_id)
        await self.gate.wait()
        if product_id not in self.inventory:
            raise DependencyUnavailable("inventory", "down")
        return self.inventory[product_id]


@dataclass
class FakeHolds:
    """Paused stores; with `down` every call fails as without MongoDB."""

    holds: list[IntakeHold] = field(default_factory=list)
    down: bool = False

    async def active(self) -> list[IntakeHold]:
        if self.down:
            raise DependencyUnavailable("mongodb", "down")
        return self.holds


@dataclass
class FakeStoreSettings:
    """Settings by store; `down` makes every call fail as MongoDB's absence does."""

    stored: dict[str, StoredSettings] = field(default_factory=dict)
    reads: int = 0
    down: bool = False

    async def read(self, store_id: str) -> StoredSettings | None:
        self._call()
        self.reads += 1
        return self.stored.get(store_id)

    async def read_all(self, store_ids: Collection[str]) -> list[StoredSettings]:
        self._call()
        self.reads += 1
        return [self.stored[one] for one in store_ids if one in self.stored]

    async def write(
        self,
        store_id: str,
        settings: StoreSettings,
        *,
        by: str,
        at: datetime,
        version: int | None = None,
    ) -> StoredSettings | None:
        self._call()
        before = self.stored.get(store_id)
        if version not in {None, before.version if before else 0}:
            return None
        stored: StoredSettings = StoredSettings.model_construct(
            None,
            id=store_id,
            settings=settings,
            version=(before.version if before else 0) + 1,
            by=by,
            at=at,
        )
        self.stored[store_id] = stored
        return stored

    def _call(self) -> None:
        if self.down:
            raise DependencyUnavailable("mongodb", "down")


@dataclass
class FakeLimiter:
    """Allows `left` requests in all; with `down` every call fails."""

    left: int = 1_000_000
    down: bool = False
    taken: list[str] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)

    async def take(self, who: str, *, per_minute: int, cost: int) -> Allowance:
        if self.down:
            raise DependencyUnavailable("redis", "down")
        self.taken.append(who)
        self.costs.append(cost)
        self.left -= 1
        return Allowance(self.left >= 0, per_minute, max(self.left, 0), 7, 60)


@dataclass
class FakeLevels:
    """Records the overrides; with `down` every call fails as without Redis."""

    asked: list[tuple[str, int]] = field(default_factory=list)
    down: bool = False

    async def override(self, level: str, *, seconds: int) -> LevelOverride:
        if self.down:
            raise DependencyUnavailable("redis", "down")
        self.asked.append((level, seconds))
        return LevelOverride(LogLevel(level), datetime(2026, 1, 27, 10, 45, tzinfo=UTC))


class FakeApi:
    """The application with fakes, and a client that calls it as `USER`.

    An `app` of the same settings can be used again, with the new fakes.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        jwks: httpx.AsyncBaseTransport | None = None,
        down: tuple[str, ...] = (),
        hanging: tuple[str, ...] = (),
        app: FastAPI | None = None,
        ops: Connections | None = None,
    ) -> None:
        self.settings = settings or settings_for_tests()
        self.gateway = FakeGateway()
        self.mongo = FakeMongo()
        self.cache = FakeCache()
        self.stock = FakeStock()
        self.limiter = FakeLimiter()
        self.levels = FakeLevels()
        self.holds = FakeHolds()
        self.hears_changes = True  # hints of Redis arrive
        self.store_settings = FakeStoreSettings()
        self.policies = StorePolicies(policy_of(self.settings), self.store_settings.read_all)
        names = ("mongodb", "redis", "kafka", "temporal", "inventory")
        probes = {name: _probe(name, down, hanging) for name in names}
        self.state = ApiState(
            settings=self.settings,
            policies=self.policies,
            store_settings=self.store_settings,
            authenticator=Authenticator(self.settings, transport=jwks),
            carts=self.mongo,
            operations=self.mongo,
            history=self.mongo,
            cache=self.cache,
            availability=Availability(self.stock, self.stock.check),
            gateway=self.gateway,
            log_levels=self.levels,
            health=HealthChecks(probes, timeout=0.1),
            limits=RateLimits(
                self.limiter,
                per_user=self.settings.rate_limit_per_user,
                per_address=self.settings.rate_limit_per_address,
                guests_per_address=self.settings.rate_limit_guests_per_address,
            ),
            intake=Intake(self.holds.active),
            live=LiveCarts(
                self.mongo.versions,
                is_connected=lambda: self.hears_changes,
                per_user=self.settings.live_streams_per_user,
                most=self.settings.most_live_streams,
            ),
            pages=Pages("http://ui", "default"),
            keyring=KEYRING,
            ops=ops,
        )
        self.app = app or create_app(self.settings, state=self.state)
        self.app.state.api = self.state
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://cart"
        )

    def token(self, **claims: Any) -> dict[str, str]:
        """The Authorization header of a user, by default `USER`."""
        token = mint_token(self.settings, **({"user": USER} | claims))
        return {"Authorization": f"Bearer {token}"}

    async def post(
        self, body: Any = None, *, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        """Posts an add, by default a valid one with a valid token."""
        if "content" not in more:
            more["json"] = ITEM if body is None else body
        return await self.client.post(URL, headers=self.token() | (headers or {}), **more)

    async def get_with(self, url: str = URL, **headers: str) -> httpx.Response:
        """Gets with further headers."""
        return await self.client.get(url, headers=self.token() | headers)

    async def get(self, url: str = URL, **claims: Any) -> httpx.Response:
        return await self.client.get(url, headers=self.token(**claims))


def _probe(
    name: str, down: tuple[str, ...], hanging: tuple[str, ...]
) -> Callable[[], Awaitable[None]]:
    async def probe() -> None:
        if name in hanging:
            await asyncio.Event().wait()
        if name in down:
            raise DependencyUnavailable(name)

    return probe
