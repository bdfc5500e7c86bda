"""The contenders: each prepares its next operation, and only the operation itself is measured."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import jwt
from beanie import PydanticObjectId

from dev.bench.client import RawClient, request
from dev.bench.noop import NOOP_QUEUE, NoopWorkflow
from dev.bench.rig import Rig
from dev.bench.rounds import Operation, Prepare
from models.cart import Cart, empty_cart
from models.messages import AddItemInput, Outcome
from settings import Settings
from workflows import ids
from workflows.gateway import fingerprint, new_attempt, policy_of

STORE = "bench-store"
PRODUCTS = 128  # buyers of one product wait for each other: those here buy different things
CARTS = 4
_CREATED, _OK = 201, 200
_STOCK = 1_000_000
_BODY = {"productTitle": "Wireless Headphones", "productPrice": 79.99, "quantity": 1}


class Contenders:
    """Makes operations. `connection` is what the sequential ones are sent over."""

    def __init__(self, rig: Rig, api: RawClient, bench: RawClient) -> None:
        self._rig = rig
        self._api = api
        self._bench = bench
        self._products = itertools.cycle(f"product-{number}" for number in range(PRODUCTS))
        self._policy = policy_of(rig.settings)
        self._last_saga: tuple[str, str | None] | None = None

    async def stock(self) -> None:
        """Fills the shelves."""
        await fill_shelves(self._rig.settings)

    # Over HTTP

    def add_bytes(self, user: str, product: str | None = None, path: str = "/api/v1/cart") -> bytes:
        """A request that adds one unit to the cart of `user`."""
        token = self.token(user)
        return add_request(product or next(self._products), token=token, path=path)

    async def add(self) -> Operation:
        """The answer to an add to a fresh cart."""
        return partial(self._api.send, self.add_bytes(new_user()), expect=_CREATED)

    async def noop(self) -> Operation:
        """The answer of a route that runs an empty workflow."""
        raw = self.add_bytes(new_user(), path="/noop")
        return partial(self._bench.send, raw, expect=_CREATED)

    async def direct(self) -> Operation:
        """The answer to an add that is done in process."""
        raw = self.add_bytes(new_user(), path="/direct")
        return partial(self._bench.send, raw, expect=_CREATED)

    async def add_to_cart_of(self, lines: int) -> Prepare:
        """Adds to carts that have so many lines; in turns, since a line takes 100 units only."""
        carts = [await self.cart_with(lines) for _ in range(CARTS)]
        requests = itertools.cycle([self.add_bytes(*cart) for cart in carts])

        async def prepare() -> Operation:
            return partial(self._api.send, next(requests), expect=_CREATED)

        return prepare

    def adds(self, *, carts: int) -> Prepare:
        """Two adds one after the other, to one cart or to two."""

        async def prepare() -> Operation:
            users = [new_user() for _ in range(carts)]
            first, second = self.add_bytes(users[0]), self.add_bytes(users[-1])

            async def both() -> None:
                await self._api.send(first, expect=_CREATED)
                await self._api.send(second, expect=_CREATED)

            return both

        return prepare

    def read(self, user: str) -> Prepare:
        """Reads a cart, after a first read that has it in the cache."""
        raw = request("GET", f"/api/v1/cart/{STORE}/store", token=self.token(user))
        return self._got(self._api, raw)

    def live(self) -> Prepare:
        """The API's own empty route, which asks for no token."""
        return self._got(self._api, request("GET", "/health/live"))

    def empty(self, user: str) -> Prepare:
        """An empty route that asks for a token, of the bench's application."""
        raw = request("GET", f"/empty/{STORE}/store", token=self.token(user))
        return self._got(self._bench, raw)

    def _got(self, client: RawClient, raw: bytes) -> Prepare:
        async def prepare() -> Operation:
            return partial(client.send, raw, expect=_OK)

        return prepare

    # By Temporal's client in this process

    async def saga_result(self) -> Operation:
        """From the start of an add to the result of its workflow."""
        add = self.add_input(new_user(), next(self._products))

        async def run() -> None:
            started = await self._rig.gateway.start(add)
            heard = await self._rig.gateway.result(started, wait_seconds=30)
            if heard is None or heard.result.outcome is not Outcome.COMMITTED:
                raise RuntimeError(f"the saga ended {heard}")
            self._last_saga = (started.handle.id, heard.result.run_id)

        return run

    async def noop_result(self) -> Operation:
        """From the start of an empty workflow to its result."""
        return partial(
            self._rig.temporal.execute_workflow,
            NoopWorkflow.run,
            id=f"noop/{uuid4().hex}",
            task_queue=NOOP_QUEUE,
        )

    async def transitions(self) -> tuple[int, int]:
        """State transitions of a saga, and of an empty workflow, as the server counts them."""
        await (await self.saga_result())()
        if self._last_saga is None:
            raise RuntimeError("no saga has run")
        noop = await self._rig.temporal.start_workflow(
            NoopWorkflow.run, id=f"noop/{uuid4().hex}", task_queue=NOOP_QUEUE
        )
        await noop.result()
        return await self.transitions_of(*self._last_saga), await self.transitions_of(noop.id)

    async def transitions_of(self, workflow_id: str, run_id: str | None = None) -> int:
        """State transitions of a run (default: the latest) when it has ended."""
        handle = self._rig.temporal.get_workflow_handle(workflow_id, run_id=run_id)
        await handle.result()
        info = (await handle.describe()).raw_description.workflow_execution_info
        return int(info.state_transition_count)

    def line(self, client: RawClient, path: str) -> Operation:
        """An operation that asks for another cart each time it is run."""

        async def ask() -> None:
            await client.send(self.add_bytes(new_user(), path=path), expect=_CREATED)

        return ask

    # Data

    async def cart_with(self, lines: int, *, first: int = 0) -> tuple[str, str]:
        """A stored cart with so many lines: its user, and the product of its last line.

        From product `PRODUCTS` on nobody adds any.
        """
        user, now = new_user(), datetime.now(UTC)
        content = empty_cart(self.add_input(user, f"product-{first}"), now)
        for number in range(first, first + lines):
            content = content.with_added(self.add_input(user, f"product-{number}"), now)
        cart_id = PydanticObjectId()
        await Cart(_id=cart_id, **content.model_dump()).insert()
        return user, f"product-{first + lines - 1}"

    def add_input(self, user: str, product: str) -> AddItemInput:
        """What the API hands to the gateway for the same request."""
        asked: dict[str, Any] = {"productId": product, **_BODY}
        return AddItemInput(
            store_id=STORE,
            user_id=user,
            operation_id=ids.operation_id(STORE, user, uuid4().hex),
            attempt_id=new_attempt(),
            fingerprint=fingerprint(ids.ADD_ITEM, asked),
            policy=self._policy,
            product_id=product,
            product_title=str(_BODY["productTitle"]),
            product_price=Decimal(str(_BODY["productPrice"])),
            quantity=1,
        )

    def token(self, user: str, **claims: Any) -> str:
        """A token of a user, with more claims if they are given."""
        return token_of(self._rig.settings, user, **claims)


async def fill_shelves(settings: Settings) -> None:
    """There is enough of every product."""
    async with httpx.AsyncClient(base_url=settings.inventory) as inventory:
        for number in range(PRODUCTS + 1):
            answer = await inventory.put(
                f"/api/v1/inventories/stock/product-{number}",
                params={"storeId": STORE},
                json={"available": _STOCK},
            )
            answer.raise_for_status()


def add_request(product: str, *, token: str, path: str = "/api/v1/cart") -> bytes:
    """A request that adds one unit of a product to the cart of the token's user."""
    body = {"productId": product, **_BODY}
    return request("POST", f"{path}/{STORE}/store", token=token, body=body)


def token_of(settings: Settings, user: str, **claims: Any) -> str:
    """A token that the service under measurement takes."""
    claims |= {
        "sub": user,
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "exp": int(time.time()) + 3600,
        "name": "Ada Lovelace",
    }
    secret = settings.jwt_secret.get_secret_value()
    return jwt.encode(claims, secret, algorithm=settings.jwt_algorithm.value)


def new_user() -> str:
    """A user without a cart."""
    return f"user-{uuid4().hex[:16]}"


async def repeat(prepare: Prepare, times: int, pause: float = 0) -> None:
    """Runs a contender without measuring it."""
    for _ in range(times):
        operation: Callable[[], Awaitable[object]] = await prepare()
        await operation()
        await asyncio.sleep(pause)
