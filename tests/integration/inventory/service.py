"""A process of the reference inventory, and a client with its own store."""

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from dev.inventory_service.schemas import ReleaseRequest, ReserveRequest
from dev.stack.ports import more_free_ports
from dev.stack.servers import shared_tls

ROOT = Path(__file__).parents[3]
API = "/api/v1/inventories"
VALID = {"storeId": "s", "productId": "p", "quantity": 1, "userId": "u", "sagaId": "x"}


class InventoryProcess:
    """A process of `python -m inventory`."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"


@contextmanager
def running_inventory(uri: str, **environment: str) -> Iterator[InventoryProcess]:
    """Starts the service on a free port and waits until it answers, healthy or not."""
    [port] = more_free_ports(1)
    own = {"MONGODB_URI": uri, "INVENTORY_PORT": str(port), "CART_ENV_FILE": "", "HOST": ""}
    process = subprocess.Popen(
        [sys.executable, "-m", "inventory"], cwd=ROOT, env=os.environ | own | environment
    )
    service = InventoryProcess(process, port)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                httpx.get(f"{service.url}/health", trust_env=False, verify=shared_tls())
            except httpx.TransportError:
                assert process.poll() is None, "the service ended"
                assert time.monotonic() < deadline, "the service did not start"
                time.sleep(0.05)
            else:
                break
        yield service
    finally:
        process.terminate()
        process.wait(20)


class Warehouse:
    """A client with its own store; every call returns (status, body)."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.store = uuid.uuid4().hex

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        answer = await self.client.request(method, path, **more)
        return answer.status_code, answer.json()

    def reserve_body(
        self, saga: str, quantity: int = 1, user: str = "ann", product: str = "book"
    ) -> dict[str, Any]:
        return {
            "storeId": self.store,
            "productId": product,
            "quantity": quantity,
            "userId": user,
            "sagaId": saga,
            "reservationType": "cart",
        }

    async def reserve(
        self, saga: str, quantity: int = 1, user: str = "ann", product: str = "book"
    ) -> tuple[int, Any]:
        body = self.reserve_body(saga, quantity, user, product)
        return await self.call("POST", f"{API}/reserve", json=body)

    async def reserve_status(self, saga: str, quantity: int, product: str = "book") -> int:
        return (await self.reserve(saga, quantity, product=product))[0]

    async def release(
        self,
        saga: str,
        quantity: int = 1,
        reason: str = "saga_aborted",
        user: str = "ann",
        product: str = "book",
        **more: Any,
    ) -> tuple[int, Any]:
        body = self.reserve_body(saga, quantity, user, product) | {"reason": reason} | more
        del body["reservationType"]
        return await self.call("POST", f"{API}/release", json=body)

    async def stock(self, available: int, product: str = "book") -> tuple[int, Any]:
        return await self.call(
            "PUT",
            f"{API}/stock/{product}",
            params={"storeId": self.store},
            json={"available": available},
        )

    async def units(self, product: str = "book") -> tuple[int, int, int]:
        """Available, held, sold."""
        status, body = await self.call(
            "GET", f"{API}/check/{product}", params={"storeId": self.store}
        )
        assert status == 200
        assert list(body) == ["available", "held", "sold"]
        return body["available"], body["held"], body["sold"]

    async def page(self, **query: Any) -> tuple[int, Any]:
        return await self.call("GET", f"{API}/reservations", params={"storeId": self.store} | query)

    async def held(self) -> dict[tuple[str, str], int]:
        """All holds, by user and product."""
        status, body = await self.page(limit=1000)
        assert status == 200
        assert body["cursor"] is None
        return {(row["userId"], row["productId"]): row["quantity"] for row in body["reservations"]}

    async def fault(self, action: str, fault: str, **more: Any) -> None:
        status, _ = await self.call(
            "POST", "/faults", json={"action": action, "fault": fault} | more
        )
        assert status == 200


@asynccontextmanager
async def a_warehouse(url: str) -> AsyncIterator[Warehouse]:
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(
        base_url=url, timeout=15, trust_env=False, limits=limits, verify=shared_tls()
    ) as client:
        yield Warehouse(client)


def to_reserve(store: str, saga: str, quantity: int = 1, user: str = "ann") -> ReserveRequest:
    return ReserveRequest(
        store_id=store,
        product_id="book",
        quantity=quantity,
        user_id=user,
        saga_id=saga,
        reservation_type="cart",
    )


def to_release(
    store: str, saga: str, quantity: int = 1, user: str = "ann", reason: str = "saga_aborted"
) -> ReleaseRequest:
    return ReleaseRequest(
        store_id=store,
        product_id="book",
        quantity=quantity,
        user_id=user,
        saga_id=saga,
        reason=reason,
    )


async def eventually(call: Callable[[], Awaitable[object]], expected: object) -> None:
    deadline = time.monotonic() + 15
    while (found := await call()) != expected:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)
