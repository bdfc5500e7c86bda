"""A shop for one test: its own store id, buyers with tokens, and reads of all that is stored."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httpx
from temporalio.client import Client, WorkflowExecution

from adapters.kafka.topics import records
from adapters.mongo import client as mongo
from adapters.mongo.carts import CartStore
from adapters.mongo.store_settings import StoreSettingsStore
from api.auth.guests import GuestTokens
from cli.token import mint_token
from models.cart import CartKey
from models.documents import Cart, OperationRecord
from models.events import PUBLISHED
from models.guests import is_guest_id, new_guest_id
from models.store_settings import StoreSettings
from settings import Settings
from tests.support.waiting import eventually
from workflows.connection import connect
from workflows.ids import cart_workflow_id

PRICE = 79.99

APP_NAME = "tests"
"""The name of these clients in MongoDB's logs."""


@dataclass
class Event:
    """A message read back from the broker."""

    topic: str
    key: str
    value: dict[str, Any]
    headers: dict[str, str]


@dataclass
class World:
    """Clients of the running stack and its servers."""

    settings: Settings
    http: httpx.AsyncClient
    inventory: httpx.AsyncClient
    carts: CartStore
    temporal: Client


_open: list[CartStore] = []


@asynccontextmanager
async def world_of(settings: Settings) -> AsyncIterator[World]:
    """Clients of a running stack. Beanie's documents belong to the innermost one that is open."""
    carts = await CartStore.connect(settings.mongodb, app_name=APP_NAME)
    _open.append(carts)
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.port}", timeout=30) as http,
        httpx.AsyncClient(base_url=settings.inventory, timeout=10) as inventory,
    ):
        yield World(settings, http, inventory, carts, await connect(settings))
    _open.remove(carts)
    await carts.close()
    await bind_again()


async def bind_again() -> None:
    """Binds Beanie's documents to the innermost world that is open, after others have had them."""
    if _open:
        await mongo.bind(_open[-1].client)


@dataclass
class Shop:
    """One store of the running stack."""

    world: World
    store_id: str = field(default_factory=lambda: f"store-{uuid4().hex[:12]}")

    def buyer(self, **token: Any) -> "Buyer":
        return Buyer(self, f"user-{uuid4().hex[:12]}", token)

    def guest(self) -> "Buyer":
        return Buyer(self, new_guest_id(), {})

    async def stock(self, product_id: str, units: int) -> None:
        response = await self.world.inventory.put(
            f"/api/v1/inventories/stock/{product_id}",
            params={"storeId": self.store_id},
            json={"available": units},
        )
        response.raise_for_status()

    async def sets(self, **settings: Any) -> None:
        """Gives the store settings of its own (`StoreSettings`)."""
        own = StoreSettings(**settings)
        await StoreSettingsStore().write(self.store_id, own, by="admin-1", at=datetime.now(UTC))

    async def product(self, product_id: str, **body: Any) -> None:
        """Sets a product's `title` and `price`, and more, in the reference product service."""
        response = await self.world.inventory.put(
            f"/api/v1/products/{product_id}", params={"storeId": self.store_id}, json=body
        )
        response.raise_for_status()

    async def units(self, product_id: str) -> tuple[int, int, int]:
        """(available, held, sold)."""
        response = await self.world.inventory.get(
            f"/api/v1/inventories/check/{product_id}", params={"storeId": self.store_id}
        )
        response.raise_for_status()
        body = response.json()
        return body["available"], body["held"], body["sold"]

    async def holds(self) -> dict[tuple[str, str], int]:
        """(user, product) -> units, of everything held in this store."""
        response = await self.world.inventory.get(
            "/api/v1/inventories/reservations", params={"storeId": self.store_id, "limit": 1000}
        )
        response.raise_for_status()
        body = response.json()
        assert body["cursor"] is None
        return {(r["userId"], r["productId"]): r["quantity"] for r in body["reservations"]}

    async def fault(
        self, action: str, fault: str, *, seconds: float = 1.0, times: int = 1, **more: Any
    ) -> None:
        """Injects a fault into the next calls of the inventory."""
        body = {"action": action, "fault": fault, "seconds": seconds, "times": times, **more}
        (await self.world.inventory.post("/faults", json=body)).raise_for_status()

    async def records(self) -> list[OperationRecord]:
        """The records of all operations in this store, oldest first."""
        return await OperationRecord.find({"storeId": self.store_id}).sort("at").to_list()

    async def events(self) -> list[Event]:
        """All events of this store, in the order of their partitions."""
        return [
            event
            for event in await read_events(self.world.settings)
            if event.value.get("storeId") == self.store_id
        ]

    async def assert_consistent(self) -> None:
        """Asserts that the holds are those of the lines, and that each cart's totals are right."""
        carts = await Cart.find({"storeId": self.store_id}).to_list()
        lines = {
            (cart.user_id, product_id): units
            for cart in carts
            for product_id, units in cart.held_units.items()
        }
        assert await self.holds() == lines
        for cart in carts:
            assert cart.quantity == sum(line.product_quantity for line in cart.cart_items)
            assert cart.total_price == sum(line.total for line in cart.cart_items)


@dataclass
class Buyer:
    """A user or guest of the shop with a token."""

    shop: Shop
    user_id: str
    claims: dict[str, Any]

    @property
    def token(self) -> str:
        settings = self.shop.world.settings
        if is_guest_id(self.user_id):
            return GuestTokens(settings).token_of(self.user_id).token
        return mint_token(settings, user=self.user_id, **self.claims)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def path(self) -> str:
        return f"/api/v1/cart/{self.shop.store_id}/store"

    @property
    def workflow_id(self) -> str:
        return cart_workflow_id(self.shop.store_id, self.user_id)

    async def add(
        self,
        product_id: str = "headphones",
        quantity: Any = 1,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        """POSTs the add; `body` overrides fields, and a value of None leaves one out."""
        content = {
            "productId": product_id,
            "productTitle": "Wireless Headphones",
            "productPrice": PRICE,
            "quantity": quantity,
            **body,
        }
        given = {"Idempotency-Key": key} if key else {}
        return await self.shop.world.http.post(
            self.path,
            json={name: value for name, value in content.items() if value is not None},
            headers=self.headers | given | (headers or {}),
        )

    async def update(self, cart_id: str, product_id: str, quantity: int) -> httpx.Response:
        body = {"productId": product_id, "quantity": quantity}
        return await self.shop.world.http.put(
            f"/api/v1/cart/{cart_id}", json=body, headers=self.headers
        )

    async def remove(self, cart_id: str, product_id: str) -> httpx.Response:
        return await self.shop.world.http.delete(
            f"/api/v1/cart/{cart_id}/items/{product_id}", headers=self.headers
        )

    async def get(self) -> httpx.Response:
        return await self.shop.world.http.get(self.path, headers=self.headers)

    async def check_out(self, *, key: str = "", **headers: str) -> httpx.Response:
        given = {"Idempotency-Key": key or uuid4().hex} | headers
        return await self.shop.world.http.post(
            f"{self.path}/checkout", headers=self.headers | given
        )

    async def cancel_checkout(self) -> httpx.Response:
        return await self.shop.world.http.delete(f"{self.path}/checkout", headers=self.headers)

    async def extend(self, cart_id: str) -> httpx.Response:
        return await self.shop.world.http.post(
            f"/api/v1/cart/{cart_id}/extend", headers=self.headers
        )

    async def clear(self) -> httpx.Response:
        return await self.shop.world.http.delete(self.path, headers=self.headers)

    async def ended(self, answer: httpx.Response, *, timeout: float = 30) -> dict[str, Any]:
        """Follows a 202 to its end; the body of the operation's URL."""
        assert answer.status_code == 202, answer.text

        async def not_pending() -> dict[str, Any]:
            response = await self.shop.world.http.get(
                answer.headers["Location"], headers=self.headers
            )
            assert response.status_code == 200, response.text
            body: dict[str, Any] = response.json()
            assert body["status"] != "pending"
            return body

        return await eventually(not_pending, timeout=timeout, interval=0.2)

    async def status(self, answer: httpx.Response) -> int:
        """The final status of a request; follows a 202 of a busy machine to its end."""
        if answer.status_code != HTTPStatus.ACCEPTED:
            return answer.status_code
        status: int = (await self.ended(answer))["answer"]["status"]
        return status

    async def cart(self) -> Cart | None:
        """The cart as MongoDB has it."""
        return await self.shop.world.carts.cart(CartKey(self.shop.store_id, self.user_id))

    async def runs(self) -> list[WorkflowExecution]:
        """The runs with this cart's workflow id that Temporal's visibility has by now."""
        query = f"WorkflowId = '{self.workflow_id}'"
        return [run async for run in self.shop.world.temporal.list_workflows(query)]


async def read_events(settings: Settings) -> list[Event]:
    """All events that the service has published, from offset 0 to the present end."""
    return [_event(record) async for record in records(settings, *PUBLISHED)]


def _event(message: Any) -> Event:
    return Event(
        topic=message.topic,
        key=(message.key or b"").decode(),
        value=json.loads(message.value),
        headers={name: value.decode() for name, value in message.headers},
    )
