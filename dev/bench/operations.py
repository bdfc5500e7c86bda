"""The operations that `cart bench` measures; each is prepared first."""

import itertools
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

import orjson

from cli.token import mint_token
from dev.bench.client import RawClient, request
from dev.bench.data import (
    CREATED,
    ITEM,
    PRODUCTS,
    STORE,
    add_request,
    new_cart,
    new_user,
    store_carts,
)
from dev.bench.measure import Operation, Prepare
from dev.bench.noop import NOOP_QUEUE, NoopWorkflow
from dev.bench.rig import Rig
from models.actor import Actor, ActorType
from models.cart import CartKey
from models.operations import AddItem
from models.outcomes import Outcome
from workflows import ids
from workflows.requests import operation_fields, policy_of

PAGE = 100
_PRODUCT = "product-0"
_CARTS = 4


class Operations:
    """Prepares operations; requests go over `api` and, to the bench's application, `bench`."""

    def __init__(self, rig: Rig, api: RawClient, bench: RawClient) -> None:
        self._rig = rig
        self._api = api
        self._bench = bench
        self._products = itertools.cycle(f"product-{number}" for number in range(PRODUCTS))
        self._policy = policy_of(rig.settings)
        self._last: dict[str, str] = {}  # workflow ids
        self.add = self.adding(api, "/api/v1/cart")
        self.noop = self.adding(bench, "/noop")
        self.direct = self.adding(bench, "/direct")

    # Over HTTP

    def adding(self, client: RawClient, path: str) -> Prepare:
        """Adds to new carts, by a route of the API or of the bench's application."""

        async def prepare() -> Operation:
            return partial(client.send, self._add(new_user(), path=path), expect=CREATED)

        return prepare

    async def update(self) -> Operation:
        """A change of a line to two units."""
        user, cart_id = await self._cart("update")
        body = {"productId": _PRODUCT, "quantity": 2}
        return self._change("PUT", f"/api/v1/cart/{cart_id}", user, body)

    async def remove(self) -> Operation:
        """The removal of a line."""
        user, cart_id = await self._cart("remove")
        return self._change("DELETE", f"/api/v1/cart/{cart_id}/items/{_PRODUCT}", user)

    async def add_to_cart_of(self, lines: int) -> Prepare:
        """Adds to carts of so many lines; to several in turn, since a line takes 100 units."""
        products = [f"product-{number}" for number in range(lines)]
        users = [new_user() for _ in range(_CARTS)]
        for user in users:
            await new_cart(STORE, user, products).insert()
        requests = itertools.cycle([self._add(user, products[-1]) for user in users])

        async def prepare() -> Operation:
            return partial(self._api.send, next(requests), expect=CREATED)

        return prepare

    def adds(self, *, carts: int) -> Prepare:
        """Two consecutive adds, to one cart or to two."""

        async def prepare() -> Operation:
            users = [new_user() for _ in range(carts)]
            first, second = self._add(users[0]), self._add(users[-1])

            async def both() -> None:
                await self._api.send(first, expect=CREATED)
                await self._api.send(second, expect=CREATED)

            return both

        return prepare

    async def reads(self) -> dict[str, Prepare]:
        """A read of a cached cart, and empty routes of the bench and of the API."""
        # No add takes this product: an add would evict its stock from the cache.
        user = new_user()
        await new_cart(STORE, user, [f"product-{PRODUCTS}"]).insert()
        token = mint_token(self._rig.settings, user=user)
        return {
            "read": _get(self._api, f"/api/v1/cart/{STORE}/store", token),
            "live": _get(self._api, "/health/live"),
            "empty": _get(self._bench, f"/empty/{STORE}/store", token),
        }

    async def admin_page(self, *, carts: int) -> Prepare:
        """The first page of a store with so many carts."""
        store = f"bench-store-of-{carts}"
        await store_carts(store, carts, [[_PRODUCT]])
        settings = self._rig.settings
        token = mint_token(settings, user="boss", role=settings.jwt_admin_role, store=store)
        return _get(self._api, f"/api/v1/cart/{store}/admin/carts?limit={PAGE}", token)

    def _add(self, user: str, product: str | None = None, path: str = "/api/v1/cart") -> bytes:
        return add_request(self._rig.settings, user, product or next(self._products), path=path)

    async def _cart(self, operation: str) -> tuple[str, str]:
        """A new cart of one line: (user, cart's id)."""
        user = new_user()
        self._last[operation] = ids.cart_workflow_id(STORE, user)
        added = await self._api.send(self._add(user, _PRODUCT), expect=CREATED)
        return user, orjson.loads(added)["_id"]

    def _change(self, method: str, path: str, user: str, body: Any = None) -> Operation:
        token = mint_token(self._rig.settings, user=user)
        return partial(self._api.send, request(method, path, token=token, body=body))

    # By Temporal's client in this process

    async def saga_result(self) -> Operation:
        """An add, from its start to the result of its workflow."""
        user, product = new_user(), next(self._products)
        add = AddItem(
            **operation_fields(
                AddItem,
                CartKey(STORE, user),
                operation_id=ids.operation_id(STORE, user, uuid4().hex),
                requested={"productId": product, **ITEM},
                actor=Actor(type=ActorType.USER, id=user),
                policy=self._policy,
            ),
            product_id=product,
            product_title=str(ITEM["productTitle"]),
            product_price=Decimal(str(ITEM["productPrice"])),
            quantity=1,
        )

        async def run() -> None:
            started = await self._rig.gateway.start(add)
            result = await self._rig.gateway.result(started, wait_seconds=30)
            if result is None or result.outcome is not Outcome.COMMITTED:
                raise RuntimeError(f"the saga ended {result}")
            self._last["operation"] = started.handle.id

        return run

    async def noop_result(self) -> Operation:
        """An empty workflow, from its start to its result."""
        self._last["noop"] = workflow_id = f"noop/{uuid4().hex}"
        run = self._rig.temporal.execute_workflow
        return partial(run, NoopWorkflow.run, id=workflow_id, task_queue=NOOP_QUEUE)

    async def transitions(self, name: str) -> int:
        """State transitions of the latest `operation` (an add), `update`, `remove` or `noop`."""
        handle = self._rig.temporal.get_workflow_handle(self._last[name])
        await handle.result()
        info = (await handle.describe()).raw_description.workflow_execution_info
        return int(info.state_transition_count)


def _get(client: RawClient, path: str, token: str = "") -> Prepare:
    raw = request("GET", path, token=token)

    async def prepare() -> Operation:
        return partial(client.send, raw)

    return prepare
