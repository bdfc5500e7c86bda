"""The reference Inventory Service over HTTP, on a real MongoDB: its contract and its promises.

What must hold for whoever calls it: nothing is sold twice, nothing held is lost, and repeating,
undoing and racing are harmless. Every test has a store of its own, so they can run in any order.
"""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest
from pymongo import AsyncMongoClient, monitoring

import inventory.mongo
from inventory.schemas import ReleaseRequest, ReserveRequest
from inventory.store import Store

ROOT = Path(__file__).parents[2]
API = "/api/v1/inventories"

# ---------------------------------------------------------------------------------------------
# The servers under test: `mongodb_uri` and `inventory_url`.


@pytest.fixture(scope="session")
def mongodb_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A MongoDB replica set of one member."""
    spec = find_spec("fiftyone")
    assert spec is not None
    assert spec.submodule_search_locations
    binary = Path(next(iter(spec.submodule_search_locations))) / "db" / "bin" / "mongod"
    folder = tmp_path_factory.mktemp("mongodb")
    port = free_port()
    command = [str(binary), "--replSet", "rs0", "--bind_ip", "127.0.0.1", "--port", str(port)]
    command += ["--dbpath", str(folder), "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
    command += ["--setParameter", "transactionLifetimeLimitSeconds=5"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
        with pymongo.MongoClient[dict[str, Any]](
            "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=20_000
        ) as client:
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
            deadline = time.monotonic() + 20
            while not client.admin.command("hello")["isWritablePrimary"]:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"mongodb://127.0.0.1:{port}/?replicaSet=rs0"
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def inventory_url(mongodb_uri: str) -> Iterator[str]:
    """The service, as a process of its own, with fault injection."""
    with running_inventory(mongodb_uri, INVENTORY_FAULTS="1") as service:
        yield service.url


# ---------------------------------------------------------------------------------------------
# Help for the tests.


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """A `python -m inventory` of our own."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"


@contextmanager
def running_inventory(uri: str, **environment: str) -> Iterator[Service]:
    """Starts the service on a free port and waits until it answers, healthy or not."""
    port = free_port()
    own = {"MONGODB_URI": uri, "INVENTORY_PORT": str(port), "CART_ENV_FILE": "", "HOST": ""}
    process = subprocess.Popen(
        [sys.executable, "-m", "inventory"], cwd=ROOT, env=os.environ | own | environment
    )
    service = Service(process, port)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                httpx.get(f"{service.url}/health", trust_env=False)
            except httpx.TransportError:
                assert process.poll() is None, "the service has ended"
                assert time.monotonic() < deadline, "the service does not start"
                time.sleep(0.05)
            else:
                break
        yield service
    finally:
        process.terminate()
        process.wait(20)


class Warehouse:
    """The service as a caller with one store of its own sees it; every call gives status, body."""

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
        """All that is held now, by user and product."""
        status, body = await self.page(limit=1000)
        assert status == 200
        assert body["cursor"] is None
        return {(row["userId"], row["productId"]): row["quantity"] for row in body["reservations"]}

    async def fault(self, action: str, fault: str, **more: Any) -> None:
        status, _ = await self.call(
            "POST", "/faults", json={"action": action, "fault": fault} | more
        )
        assert status == 200


async def eventually(call: Callable[[], Awaitable[object]], expected: object) -> None:
    deadline = time.monotonic() + 15
    while (found := await call()) != expected:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


@asynccontextmanager
async def a_warehouse(url: str) -> AsyncIterator[Warehouse]:
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(
        base_url=url, timeout=15, trust_env=False, limits=limits
    ) as client:
        yield Warehouse(client)


@pytest.fixture
async def warehouse(inventory_url: str) -> AsyncIterator[Warehouse]:
    async with a_warehouse(inventory_url) as warehouse:
        yield warehouse
        await warehouse.client.delete("/faults")


@pytest.fixture
async def stores(mongodb_uri: str) -> AsyncIterator[tuple[Store, Store]]:
    """Two stores on one database, as two processes would be: no lock between them."""
    first, second = Store(mongodb_uri, call_seconds=10), Store(mongodb_uri, call_seconds=10)
    await first.prepare()
    await second.prepare()
    yield first, second
    await first.close()
    await second.close()


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


# ---------------------------------------------------------------------------------------------
# The contract.


async def test_a_product_nobody_stocked_has_nothing_of_anything(warehouse: Warehouse) -> None:
    assert await warehouse.units() == (0, 0, 0)
    assert await warehouse.reserve("s1") == (409, {"success": False, "available": 0})
    assert await warehouse.page() == (200, {"reservations": [], "cursor": None})
    assert await warehouse.release("s2", reason="user") == (200, {"success": True, "released": 0})
    assert await warehouse.units() == (0, 0, 0)


async def test_stock_can_be_set_and_says_what_there_is(warehouse: Warehouse) -> None:
    assert await warehouse.stock(7) == (200, {"available": 7, "held": 0, "sold": 0})
    await warehouse.reserve("s1", 3)
    await warehouse.release("s2", 1, "order_completed")
    assert await warehouse.stock(100) == (200, {"available": 100, "held": 2, "sold": 1})
    assert await warehouse.units() == (100, 2, 1)


async def test_reserving_moves_units_from_available_to_held(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    status, body = await warehouse.reserve("s1", 3)
    assert status == 200
    assert body == {"success": True, "available": 7, "reservationId": body["reservationId"]}
    assert isinstance(body["reservationId"], str)
    assert body["reservationId"]
    assert await warehouse.units() == (7, 3, 0)
    assert await warehouse.held() == {("ann", "book"): 3}


async def test_the_last_units_can_be_reserved_and_not_one_more(warehouse: Warehouse) -> None:
    await warehouse.stock(5)
    assert await warehouse.reserve("s1", 6) == (409, {"success": False, "available": 5})
    assert await warehouse.units() == (5, 0, 0)
    assert (await warehouse.reserve("s2", 5))[0] == 200
    assert await warehouse.reserve("s3", 1) == (409, {"success": False, "available": 0})
    assert await warehouse.units() == (0, 5, 0)


async def test_stores_and_products_do_not_share_stock(warehouse: Warehouse) -> None:
    await warehouse.stock(1, "book")
    await warehouse.stock(1, "pen")
    await warehouse.reserve("s1", product="book")
    assert await warehouse.units("pen") == (1, 0, 0)
    # The same saga may reserve several products.
    assert (await warehouse.reserve("s1", product="pen"))[0] == 200
    warehouse.store = uuid.uuid4().hex
    assert await warehouse.units("book") == (0, 0, 0)
    assert await warehouse.held() == {}


async def test_a_refused_reserve_is_not_remembered(warehouse: Warehouse) -> None:
    await warehouse.stock(1)
    assert (await warehouse.reserve("s1", 2))[0] == 409
    await warehouse.stock(2)
    assert (await warehouse.reserve("s1", 2))[0] == 200


@pytest.mark.parametrize("reason", ["item_removed", "quantity_reduced", "user", "expired", "über"])
async def test_a_business_release_makes_units_available_whoever_reserved_them(
    warehouse: Warehouse, reason: str
) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 2)
    await warehouse.reserve("s2", 3)
    assert await warehouse.release("s3", 4, reason) == (200, {"success": True, "released": 4})
    assert await warehouse.units() == (9, 1, 0)
    assert await warehouse.held() == {("ann", "book"): 1}


async def test_a_release_frees_no_more_than_this_user_holds(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 2, user="ann")
    await warehouse.reserve("s2", 5, user="bob")
    assert await warehouse.release("s3", 100, "user", user="ann") == (
        200,
        {"success": True, "released": 2},
    )
    assert await warehouse.release("s4", 1, "user", user="ann") == (
        200,
        {"success": True, "released": 0},
    )
    assert await warehouse.units() == (5, 5, 0)
    assert await warehouse.held() == {("bob", "book"): 5}


async def test_a_completed_order_books_the_units_as_sold(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 2)
    await warehouse.reserve("s2", 3)
    status, body = await warehouse.release("s3", 5, "order_completed", orderId="order-1")
    assert (status, body) == (200, {"success": True, "released": 5})
    assert await warehouse.units() == (5, 0, 5)


async def test_a_completed_order_in_the_saga_that_reserved_sells_that_reserve(
    warehouse: Warehouse,
) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 2)
    await warehouse.reserve("s2", 3)
    assert (await warehouse.release("s2", 1, "order_completed"))[1]["released"] == 3
    assert await warehouse.units() == (5, 2, 3)


async def test_health(warehouse: Warehouse) -> None:
    assert await warehouse.call("GET", "/health") == (200, {"status": "healthy"})


# ---------------------------------------------------------------------------------------------
# What callers may not say.

VALID = {"storeId": "s", "productId": "p", "quantity": 1, "userId": "u", "sagaId": "x"}
WRONG_FIELDS: list[tuple[str, Any]] = [
    *(("quantity", value) for value in (0, -1, 1_000_001, 1.0, 1.5, "1", True, None)),
    *(("storeId", value) for value in ("", "a b", "a/b", "a~b", "é", "x" * 65, 1, "a\n")),
    ("productId", "x" * 65),
    ("userId", "a.b"),
    *(("sagaId", value) for value in ("", "a b", "é", "x" * 256, "a\n", "\x7f", 5)),
    ("surplus", 1),
]


@pytest.mark.parametrize(("field", "value"), WRONG_FIELDS)
@pytest.mark.parametrize("action", ["reserve", "release"])
async def test_a_wrong_field_is_named(
    warehouse: Warehouse, action: str, field: str, value: Any
) -> None:
    own = {"reservationType": "cart"} if action == "reserve" else {"reason": "user"}
    status, body = await warehouse.call(
        "POST", f"{API}/{action}", json=VALID | own | {field: value}
    )
    assert status == 400
    assert body["error"] == "Validation failed"
    assert [detail["field"] for detail in body["details"]] == [field]
    assert body["details"][0]["message"]


@pytest.mark.parametrize(
    ("action", "field", "value"),
    [
        ("reserve", "reservationType", "basket"),
        ("reserve", "reason", "user"),
        ("release", "reason", ""),
        ("release", "reason", "x" * 65),
        ("release", "orderId", "a b"),
    ],
)
async def test_fields_of_one_action_only(
    warehouse: Warehouse, action: str, field: str, value: Any
) -> None:
    own = {"reservationType": "cart"} if action == "reserve" else {"reason": "user"}
    status, body = await warehouse.call(
        "POST", f"{API}/{action}", json=VALID | own | {field: value}
    )
    assert status == 400
    assert [detail["field"] for detail in body["details"]] == [field]


@pytest.mark.parametrize("field", [*VALID, "reservationType"])
async def test_a_missing_field_is_named(warehouse: Warehouse, field: str) -> None:
    body = VALID | {"reservationType": "cart"}
    del body[field]
    status, problem = await warehouse.call("POST", f"{API}/reserve", json=body)
    assert (status, problem["details"][0]["field"]) == (400, field)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'{"quantity": NaN}'])
async def test_what_is_no_json_object_is_refused(warehouse: Warehouse, content: bytes) -> None:
    answer = await warehouse.client.post(
        f"{API}/reserve", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"] == "Validation failed"


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("GET", "check/p", "storeId"),
        ("GET", "check/p?storeId=a.b", "storeId"),
        ("GET", "check/a.b?storeId=s", "productId"),
        ("GET", "check/p?storeId=s&surplus=1", "surplus"),
        ("PUT", "stock/p", "storeId"),
        ("PUT", "stock/a.b?storeId=s", "productId"),
        ("GET", "reservations", "storeId"),
        ("GET", "reservations?storeId=s&limit=0", "limit"),
        ("GET", "reservations?storeId=s&limit=1001", "limit"),
        ("GET", "reservations?storeId=s&limit=x", "limit"),
        ("GET", "reservations?storeId=s&cursor=x", "cursor"),
        ("GET", "reservations?storeId=s&userId=a.b", "userId"),
        ("GET", "reservations?storeId=s&productId=a.b", "productId"),
    ],
)
async def test_a_wrong_path_or_query_is_named(
    warehouse: Warehouse, method: str, path: str, field: str
) -> None:
    body = {"json": {"available": 1}} if method == "PUT" else {}
    status, problem = await warehouse.call(method, f"{API}/{path}", **body)
    assert status == 400
    assert [detail["field"] for detail in problem["details"]] == [field]


@pytest.mark.parametrize("available", [-1, 1.0, "1", True, None, 10**13])
async def test_stock_is_a_number_of_units(warehouse: Warehouse, available: Any) -> None:
    status, problem = await warehouse.stock(available)
    assert (status, problem["details"][0]["field"]) == (400, "available")


async def test_what_does_not_exist_is_said_in_json(warehouse: Warehouse) -> None:
    assert await warehouse.call("GET", "/nothing") == (404, {"message": "Not Found"})
    assert await warehouse.call("GET", f"{API}/reserve") == (405, {"message": "Method Not Allowed"})


async def test_the_documentation_describes_the_answers(warehouse: Warehouse) -> None:
    _, described = await warehouse.call("GET", "/openapi.json")
    answers = described["paths"][f"{API}/reserve"]["post"]["responses"]
    assert set(answers) == {"200", "400", "409", "503"}
    reserve = described["components"]["schemas"]["ReserveRequest"]
    assert set(reserve["required"]) == {*VALID, "reservationType"}


# ---------------------------------------------------------------------------------------------
# Try, confirm, cancel: the three classics.


async def test_repeating_a_reserve_is_harmless(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    first = await warehouse.reserve("s1", 3)
    assert await warehouse.reserve("s1", 3) == first
    await warehouse.reserve("s2", 7)
    # Still the same outcome, though there would be nothing left for a new one.
    status, body = await warehouse.reserve("s1", 3)
    assert (status, body["success"]) == (200, True)
    assert body["reservationId"] == first[1]["reservationId"]
    assert await warehouse.units() == (0, 10, 0)


@pytest.mark.parametrize("reason", ["saga_aborted", "item_removed", "order_completed"])
async def test_repeating_a_release_is_harmless(warehouse: Warehouse, reason: str) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 5)
    saga = "s1" if reason == "saga_aborted" else "s2"
    first = await warehouse.release(saga, 2, reason)
    assert first == (200, {"success": True, "released": 5 if saga == "s1" else 2})
    after = await warehouse.units()
    assert await warehouse.release(saga, 2, reason) == first
    assert await warehouse.release(saga, 4, "user") == first
    assert await warehouse.units() == after


@pytest.mark.parametrize("stated", [1, 3, 100])
async def test_an_undo_frees_exactly_what_its_saga_reserved(
    warehouse: Warehouse, stated: int
) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 3)
    await warehouse.reserve("s2", 4)
    assert (await warehouse.release("s1", stated))[1]["released"] == 3
    assert await warehouse.units() == (6, 4, 0)


async def test_an_undo_before_its_reserve_succeeds_and_moves_nothing(warehouse: Warehouse) -> None:
    """The empty rollback, also for a user who holds units that other sagas reserved."""
    await warehouse.stock(10)
    await warehouse.reserve("s1", 3)
    assert await warehouse.release("s2", 3) == (200, {"success": True, "released": 0})
    assert await warehouse.units() == (7, 3, 0)


@pytest.mark.parametrize("reason", ["saga_aborted", "item_removed", "order_completed"])
async def test_a_reserve_after_its_release_is_refused(warehouse: Warehouse, reason: str) -> None:
    """No hanging: nobody would ever free it."""
    await warehouse.stock(10)
    await warehouse.release("s1", 3, reason)
    status, body = await warehouse.reserve("s1", 3)
    assert (status, body["success"], body["available"]) == (409, False, 10)
    assert body["message"]
    assert await warehouse.units() == (10, 0, 0)


async def test_a_reserve_that_was_undone_cannot_be_repeated(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 3)
    await warehouse.release("s1", 3)
    assert (await warehouse.reserve("s1", 3))[0] == 409
    assert await warehouse.units() == (10, 0, 0)


async def test_an_undo_after_part_was_freed_stops_at_what_the_user_holds(
    warehouse: Warehouse,
) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 5)
    await warehouse.reserve("other", 4, user="bob")
    await warehouse.release("s2", 3, "quantity_reduced")
    assert (await warehouse.release("s1", 5))[1]["released"] == 2
    assert await warehouse.units() == (6, 4, 0)
    assert await warehouse.held() == {("bob", "book"): 4}
    # What was not freed then is not owed later: new holds are the user's own.
    await warehouse.reserve("s3", 1)
    assert await warehouse.held() == {("ann", "book"): 1, ("bob", "book"): 4}


async def test_an_undo_that_names_somebody_else_takes_from_who_reserved(
    warehouse: Warehouse,
) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s1", 3, user="ann")
    await warehouse.reserve("s2", 3, user="bob")
    assert (await warehouse.release("s1", 3, user="bob"))[1]["released"] == 3
    assert await warehouse.held() == {("bob", "book"): 3}


# ---------------------------------------------------------------------------------------------
# Races.


async def test_ten_units_go_to_ten_of_fifty_buyers(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    answers = await asyncio.gather(
        *(warehouse.reserve(f"s{number}", user=f"user-{number}") for number in range(50))
    )
    statuses = [status for status, _ in answers]
    assert (statuses.count(200), statuses.count(409)) == (10, 40)
    assert sorted(body["available"] for _, body in answers if body["success"]) == [*range(10)]
    assert await warehouse.units() == (0, 10, 0)
    assert len(await warehouse.held()) == 10


async def test_the_same_reserve_many_times_at_once_reserves_once(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    answers = await asyncio.gather(*(warehouse.reserve("s1", 2) for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    assert len({body["reservationId"] for _, body in answers}) == 1
    assert await warehouse.units() == (8, 2, 0)


async def test_a_reserve_and_its_undo_at_once_leave_nothing_held(
    warehouse: Warehouse, stores: tuple[Store, Store]
) -> None:
    """Whichever wins; once through one process, once through two that share only the database."""
    await warehouse.stock(100)
    for number in range(20):
        pair = await asyncio.gather(
            warehouse.reserve(f"a{number}", 2), warehouse.release(f"a{number}")
        )
        assert pair[1] == (200, {"success": True, "released": 2 if pair[0][0] == 200 else 0})
        reserved, released = await asyncio.gather(
            stores[0].reserve(to_reserve(warehouse.store, f"b{number}", 2)),
            stores[1].release(to_release(warehouse.store, f"b{number}")),
        )
        assert released.released == (2 if reserved.success else 0)
    assert await warehouse.units() == (100, 0, 0)
    assert await warehouse.held() == {}
    for number in range(20):
        assert (await warehouse.reserve(f"a{number}"))[0] == 409


async def test_two_processes_do_not_oversell(
    warehouse: Warehouse, stores: tuple[Store, Store]
) -> None:
    await warehouse.stock(30)
    answers = await asyncio.gather(
        *(
            store.reserve(to_reserve(warehouse.store, f"{name}{number}", user=f"user-{number}"))
            for number in range(20)
            for name, store in zip("ab", stores, strict=True)
        )
    )
    assert sum(answer.success for answer in answers) == 30
    assert await warehouse.units() == (0, 30, 0)
    assert sum((await warehouse.held()).values()) == 30


async def test_two_processes_free_a_holding_once(
    warehouse: Warehouse, stores: tuple[Store, Store]
) -> None:
    await warehouse.stock(30)
    await warehouse.reserve("own", 10)
    await warehouse.reserve("other", 10, user="bob")
    answers = await asyncio.gather(
        *(
            store.release(to_release(warehouse.store, f"{name}{number}", 3, reason="user"))
            for number in range(6)
            for name, store in zip("ab", stores, strict=True)
        )
    )
    assert sorted(answer.released for answer in answers if answer.released) == [1, 3, 3, 3]
    assert await warehouse.units() == (20, 10, 0)
    assert await warehouse.held() == {("bob", "book"): 10}


async def test_the_same_action_through_two_processes_happens_once(
    warehouse: Warehouse, stores: tuple[Store, Store]
) -> None:
    await warehouse.stock(10)
    for number in range(10):
        saga = f"s{number}"
        reserved = await asyncio.gather(
            *(store.reserve(to_reserve(warehouse.store, saga, 2)) for store in stores * 2)
        )
        assert len({answer.reservation_id for answer in reserved}) == 1
        released = await asyncio.gather(
            *(store.release(to_release(warehouse.store, saga)) for store in stores * 2)
        )
        assert {answer.released for answer in released} == {2}
    assert await warehouse.units() == (10, 0, 0)


async def test_a_busy_product_stays_in_balance(
    warehouse: Warehouse, stores: tuple[Store, Store]
) -> None:
    """Two processes do everything at once; never negative, and nothing appears or vanishes."""
    chance = random.Random(7)
    await warehouse.stock(20)
    seen: list[tuple[int, int, int]] = []

    async def shopper(name: str, store: Store) -> None:
        for number in range(12):
            saga, user = f"{name}-{number}", chance.choice(["ann", "bob"])
            quantity = chance.randint(1, 4)
            await store.reserve(to_reserve(warehouse.store, saga, quantity, user))
            reason = chance.choice(["saga_aborted", "user", "order_completed"])
            saga = f"{name}-{chance.randint(0, 2 * number)}"
            await store.release(to_release(warehouse.store, saga, quantity, user, reason))
            seen.append(await warehouse.units())

    await asyncio.gather(*(shopper(str(number), stores[number % 2]) for number in range(6)))
    assert all(sum(units) == 20 and min(units) >= 0 for units in seen)
    held = await warehouse.held()
    assert all(quantity > 0 for quantity in held.values())
    assert sum(held.values()) == (await warehouse.units())[1]


# ---------------------------------------------------------------------------------------------
# Against a model.


class Model:
    """The rules once more, in plain Python, for one product."""

    def __init__(self, available: int) -> None:
        self.available, self.sold = available, 0
        self.holdings = {"ann": 0, "bob": 0}
        self.reserves: dict[str, tuple[str, int]] = {}
        self.releases: dict[str, int] = {}

    def reserve(self, saga: str, quantity: int, user: str) -> bool:
        if saga in self.releases:
            return False
        if saga in self.reserves:
            return True
        if quantity > self.available:
            return False
        self.available -= quantity
        self.holdings[user] += quantity
        self.reserves[saga] = (user, quantity)
        return True

    def release(self, saga: str, quantity: int, user: str, reason: str) -> int:
        if saga not in self.releases:
            if saga in self.reserves:
                user, quantity = self.reserves[saga]
            elif reason == "saga_aborted":
                quantity = 0
            freed = min(quantity, self.holdings[user])
            self.holdings[user] -= freed
            if reason == "order_completed":
                self.sold += freed
            else:
                self.available += freed
            self.releases[saga] = freed
        return self.releases[saga]


@pytest.mark.parametrize("seed", range(4))
async def test_any_sequence_of_actions_does_what_the_model_does(
    warehouse: Warehouse, seed: int
) -> None:
    chance = random.Random(seed)
    model = Model(available=25)
    await warehouse.stock(25)
    for _ in range(150):
        saga = f"s{chance.randint(0, 40)}"
        quantity, user = chance.randint(1, 6), chance.choice(["ann", "bob"])
        if chance.random() < 0.5:
            status, body = await warehouse.reserve(saga, quantity, user)
            success = model.reserve(saga, quantity, user)
            assert (status, body["success"]) == (200 if success else 409, success)
            assert body["available"] == model.available
        else:
            reason = chance.choice(["saga_aborted", "item_removed", "order_completed"])
            status, body = await warehouse.release(saga, quantity, reason, user)
            assert (status, body["released"]) == (
                200,
                model.release(saga, quantity, user, reason),
            )
        held = sum(model.holdings.values())
        assert await warehouse.units() == (model.available, held, model.sold)
        assert model.available + held + model.sold == 25
    assert await warehouse.held() == {
        (user, "book"): quantity for user, quantity in model.holdings.items() if quantity
    }


# ---------------------------------------------------------------------------------------------
# The list of what is held.


async def test_pages_show_every_holding_once_in_order(warehouse: Warehouse) -> None:
    expected = []
    for product in ("a", "B", "c-1"):
        await warehouse.stock(100, product)
        for number, user in enumerate(("u1", "u10", "u2", "_x")):
            await warehouse.reserve(f"s-{product}-{user}", number + 1, user, product)
            expected.append((user, product, number + 1))
    await warehouse.release("gone", 4, "user", user="_x", product="a")
    expected.remove(("_x", "a", 4))
    for size in (1, 2, 5, 11, 1000):
        rows, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            status, body = await warehouse.page(
                limit=size, **({"cursor": cursor} if cursor else {})
            )
            assert status == 200
            assert 0 < len(body["reservations"]) <= size
            rows += [(r["userId"], r["productId"], r["quantity"]) for r in body["reservations"]]
            cursor, pages = body["cursor"], pages + 1
            assert pages <= len(expected)
        assert rows == sorted(expected)
        assert pages == -(-len(expected) // size)


async def test_a_page_has_a_hundred_rows_unless_told(warehouse: Warehouse) -> None:
    await warehouse.stock(1000)
    for start in range(0, 120, 30):
        await asyncio.gather(
            *(warehouse.reserve(f"s{n}", user=f"u{n}") for n in range(start, start + 30))
        )
    _, first = await warehouse.page()
    assert len(first["reservations"]) == 100
    _, second = await warehouse.page(cursor=first["cursor"])
    assert len(second["reservations"]) == 20
    assert second["cursor"] is None
    users = [row["userId"] for row in first["reservations"] + second["reservations"]]
    assert all(one < next_one for one, next_one in pairwise(users))


async def test_a_page_goes_on_where_it_was_though_holdings_come_and_go(
    warehouse: Warehouse,
) -> None:
    await warehouse.stock(100)
    for user in ("b", "c", "d", "e"):
        await warehouse.reserve(f"s-{user}", user=user)
    _, first = await warehouse.page(limit=2)
    assert [row["userId"] for row in first["reservations"]] == ["b", "c"]
    await warehouse.reserve("s-a", user="a")
    await warehouse.release("s-c", user="c")
    _, second = await warehouse.page(limit=2, cursor=first["cursor"])
    assert [row["userId"] for row in second["reservations"]] == ["d", "e"]


async def test_the_list_can_be_narrowed(warehouse: Warehouse) -> None:
    for product in ("book", "pen"):
        await warehouse.stock(100, product)
        for user in ("ann", "bob"):
            await warehouse.reserve(f"s-{product}-{user}", user=user, product=product)

    async def listed(**query: str) -> list[tuple[str, str]]:
        _, body = await warehouse.page(**query)
        return [(row["userId"], row["productId"]) for row in body["reservations"]]

    assert await listed(userId="ann") == [("ann", "book"), ("ann", "pen")]
    assert await listed(productId="pen") == [("ann", "pen"), ("bob", "pen")]
    assert await listed(userId="bob", productId="pen") == [("bob", "pen")]
    assert await listed(userId="ann", cursor="ann~book") == [("ann", "pen")]
    assert await listed(userId="carl") == []


# ---------------------------------------------------------------------------------------------
# Injected faults.


async def test_an_error_does_nothing_and_is_used_up(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.fault("reserve", "error", times=2)
    assert (await warehouse.reserve("s1"))[0] == 500
    assert (await warehouse.call("GET", "/faults"))[1]["faults"] == [
        {"action": "reserve", "fault": "error", "times": 1}
    ]
    assert (await warehouse.reserve("s1"))[0] == 500
    assert await warehouse.units() == (10, 0, 0)
    assert (await warehouse.reserve("s1"))[0] == 200
    assert (await warehouse.call("GET", "/faults"))[1] == {"faults": []}


async def test_a_fault_waits_for_its_action(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.fault("release", "error")
    await warehouse.fault("check", "refuse")
    assert (await warehouse.reserve("s1"))[0] == 200
    query = {"storeId": warehouse.store}
    assert (await warehouse.call("GET", f"{API}/check/book", params=query))[0] == 503
    assert (await warehouse.release("s1"))[0] == 500
    assert await warehouse.units() == (9, 1, 0)
    assert (await warehouse.release("s1"))[0] == 200


async def test_a_refusal_looks_like_no_stock(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.reserve("s0")
    await warehouse.fault("reserve", "refuse")
    await warehouse.fault("release", "refuse")
    assert await warehouse.reserve("s1") == (409, {"success": False, "available": 0})
    assert (await warehouse.release("s0"))[0] == 503
    assert await warehouse.units() == (9, 1, 0)


async def test_a_delay_is_waited_for_and_then_it_is_done(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.fault("reserve", "delay", seconds=0.4)
    began = time.monotonic()
    assert (await warehouse.reserve("s1"))[0] == 200
    assert 0.4 <= time.monotonic() - began < 2
    assert await warehouse.units() == (9, 1, 0)


async def test_an_answer_can_be_lost_after_the_commit(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.fault("reserve", "commit_then_timeout", seconds=0.3)
    began = time.monotonic()
    assert (await warehouse.reserve("s1", 2))[0] == 500
    assert time.monotonic() - began >= 0.3
    assert await warehouse.units() == (8, 2, 0)
    assert (await warehouse.reserve("s1", 2))[0] == 200
    assert await warehouse.units() == (8, 2, 0)


async def test_a_duplicate_delivery_does_it_once(warehouse: Warehouse) -> None:
    await warehouse.stock(10)
    await warehouse.fault("reserve", "duplicate")
    await warehouse.fault("release", "duplicate")
    # The second delivery is answered: `available` is what is left already.
    status, body = await warehouse.reserve("s1", 6)
    assert (status, body["available"]) == (200, 4)
    assert await warehouse.units() == (4, 6, 0)
    assert (await warehouse.release("s2", 2, "user"))[1]["released"] == 2
    assert await warehouse.units() == (6, 4, 0)


async def test_faults_can_be_cleared_and_are_bounded(warehouse: Warehouse) -> None:
    for _ in range(100):
        await warehouse.fault("reserve", "error")
    status, problem = await warehouse.call(
        "POST", "/faults", json={"action": "reserve", "fault": "error"}
    )
    assert (status, list(problem)) == (409, ["message"])
    assert await warehouse.call("DELETE", "/faults") == (200, {"faults": []})
    assert await warehouse.reserve("s1") == (409, {"success": False, "available": 0})


@pytest.mark.parametrize(
    ("field", "value"),
    [("action", "sell"), ("fault", "fire"), ("seconds", -1), ("times", 0), ("surplus", 1)],
)
async def test_a_fault_that_does_not_exist_is_refused(
    warehouse: Warehouse, field: str, value: Any
) -> None:
    body = {"action": "check", "fault": "error", field: value}
    status, problem = await warehouse.call("POST", "/faults", json=body)
    assert (status, problem["details"][0]["field"]) == (400, field)


async def test_no_faults_unless_asked_for(mongodb_uri: str) -> None:
    with running_inventory(mongodb_uri, INVENTORY_FAULTS="0") as service:
        async with a_warehouse(service.url) as warehouse:
            fault = {"action": "check", "fault": "error"}
            assert (await warehouse.call("POST", "/faults", json=fault))[0] == 404
            assert (await warehouse.call("GET", "/faults"))[0] == 404
            assert (await warehouse.call("DELETE", "/faults"))[0] == 404
            assert await warehouse.units() == (0, 0, 0)


# ---------------------------------------------------------------------------------------------
# Start, stop, disconnects, and a database that is away.


async def test_a_shutdown_does_not_wait_for_a_fault(mongodb_uri: str) -> None:
    with running_inventory(mongodb_uri, INVENTORY_FAULTS="1") as service:
        async with a_warehouse(service.url) as warehouse:
            await warehouse.stock(10)
            await warehouse.fault("reserve", "commit_then_timeout", seconds=60)
            call = asyncio.create_task(warehouse.reserve("s1"))
            await eventually(warehouse.units, (9, 1, 0))
            service.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            assert (await call)[0] == 500
            await asyncio.to_thread(service.process.wait, 10)
            assert time.monotonic() - began < 3


async def test_a_caller_who_hangs_up_leaves_nothing_half_done(warehouse: Warehouse) -> None:
    await warehouse.stock(100)
    url = httpx.URL(warehouse.client.base_url)
    for number in range(30):
        call = warehouse.client.build_request(
            "POST", f"{API}/reserve", json=warehouse.reserve_body(f"s{number}", 2)
        )
        head = f"POST {API}/reserve HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(call.content)}\r\n\r\n"
        _, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(head.encode() + call.content)
        await writer.drain()
        await asyncio.sleep(number % 6 * 0.001)
        writer.transport.abort()
    available, held, _ = await warehouse.units()
    assert available + held == 100
    for number in range(30):
        assert (await warehouse.reserve(f"s{number}", 2))[0] == 200
    assert await warehouse.units() == (40, 60, 0)


async def test_a_killed_process_leaves_nothing_half_done(mongodb_uri: str) -> None:
    products = [f"p{number}" for number in range(16)]

    answered = 0
    in_the_middle = asyncio.Event()

    async def change(warehouse: Warehouse, product: str, number: int) -> None:
        nonlocal answered
        with suppress(httpx.TransportError):
            await warehouse.reserve(f"r{number}", 3, product=product)
            answered += 1
            if answered == 20:
                in_the_middle.set()
            await warehouse.release(f"f{number}", 2, "order_completed", product=product)

    with running_inventory(mongodb_uri) as service:
        async with a_warehouse(service.url) as warehouse:
            store = warehouse.store
            for product in products:
                await warehouse.stock(20, product)
            changes = [
                asyncio.create_task(change(warehouse, product, number))
                for number in range(3)
                for product in products
            ]
            await in_the_middle.wait()
            service.process.kill()
            await asyncio.gather(*changes)
            assert answered < len(changes)
    with running_inventory(mongodb_uri) as service:
        async with a_warehouse(service.url) as warehouse:
            warehouse.store = store

            async def balance() -> tuple[dict[str, int], dict[str, int]]:
                units = {product: await warehouse.units(product) for product in products}
                assert all(sum(parts) == 20 for parts in units.values())
                listed = {product: n for (_, product), n in (await warehouse.held()).items()}
                return listed, {product: parts[1] for product, parts in units.items() if parts[1]}

            listed, held = await balance()
            assert listed == held
            assert held
            # Everything once more: what was done stays done once, what was not is done now. The
            # server ends a transaction that the dead process left open after 5 s.
            for product in products:
                for number in range(3):
                    reserve = partial(warehouse.reserve_status, f"r{number}", 3, product)
                    await eventually(reserve, 200)
            listed, held = await balance()
            assert listed == held


class Link:
    """A TCP relay to MongoDB that can be cut (refuses), frozen (accepts, says nothing), mended."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.open = asyncio.Event()
        self.writers: set[asyncio.StreamWriter] = set()
        self.server: asyncio.Server | None = None
        self.port = free_port()

    async def mend(self) -> None:
        self.open.set()
        if self.server is None:
            self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None
        for writer in list(self.writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self._pump(reader, onward), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        with suppress(OSError):
            while data := await reader.read(65536):
                await self.open.wait()
                writer.write(data)
                await writer.drain()
        self.writers.discard(writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def link(mongodb_uri: str) -> AsyncIterator[Link]:
    host = pymongo.uri_parser.parse_uri(mongodb_uri)["nodelist"][0]
    link = Link(host[1])
    yield link
    await link.cut()


@pytest.mark.parametrize("outage", ["cut", "frozen"])
async def test_without_its_database_it_says_so_soon_and_comes_back(link: Link, outage: str) -> None:
    uri = f"mongodb://127.0.0.1:{link.port}/?directConnection=true"
    # The link is still cut: the service starts nevertheless, so no order of starting is needed.
    with running_inventory(uri) as service:
        async with a_warehouse(service.url) as warehouse:
            health = partial(warehouse.call, "GET", "/health")
            assert await health() == (503, {"status": "unhealthy"})
            await link.mend()
            await eventually(health, (200, {"status": "healthy"}))
            await warehouse.stock(10)
            assert (await warehouse.reserve("s1", 3))[0] == 200

            if outage == "cut":
                await link.cut()
            link.open.clear()
            began = time.monotonic()
            answers = await asyncio.gather(
                health(),
                warehouse.reserve("s2", 2),
                warehouse.reserve("s3", 2),
                warehouse.release("s1", 3),
                warehouse.stock(5, product="pen"),
                warehouse.page(),
            )
            assert time.monotonic() - began < 3
            assert [status for status, _ in answers] == [503] * len(answers)
            assert all(body["message"] for _, body in answers[1:])

            await link.mend()
            await eventually(health, (200, {"status": "healthy"}))
            # A transaction that the outage left open is ended by the server after 5 s.
            released = (200, {"success": True, "released": 3})
            await eventually(partial(warehouse.release, "s1", 3), released)
            await eventually(partial(warehouse.reserve_status, "s2", 2), 200)
            await warehouse.release("s3")
            assert await warehouse.units() == (8, 2, 0)


async def test_a_port_in_use_is_an_error_at_start(mongodb_uri: str, inventory_url: str) -> None:
    port = httpx.URL(inventory_url).port
    own = {"MONGODB_URI": mongodb_uri, "INVENTORY_PORT": str(port), "CART_ENV_FILE": ""}
    command = [sys.executable, "-m", "inventory"]
    done = subprocess.run(  # noqa: ASYNC221 (nothing else has to run meanwhile)
        command, cwd=ROOT, env=os.environ | own, capture_output=True, timeout=20, check=False
    )
    assert done.returncode != 0
    assert b"address already in use" in done.stdout


async def test_a_wrong_setting_is_named_at_start() -> None:
    own = {"INVENTORY_PORT": "70000", "CART_ENV_FILE": ""}
    command = [sys.executable, "-m", "inventory"]
    done = subprocess.run(  # noqa: ASYNC221 (nothing else has to run meanwhile)
        command, cwd=ROOT, env=os.environ | own, capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"INVENTORY_PORT='70000'")


async def test_a_reserve_is_one_transaction_of_three_round_trips(
    mongodb_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in every caller's critical path."""
    commands: list[tuple[str, bool]] = []

    class Listener(monitoring.CommandListener):
        def started(self, event: monitoring.CommandStartedEvent) -> None:
            in_transaction = event.command.get("autocommit") is False
            commands.append((event.command_name, in_transaction))

        def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
            pass

        def failed(self, event: monitoring.CommandFailedEvent) -> None:
            pass

    client = partial(AsyncMongoClient, event_listeners=[Listener()])
    monkeypatch.setattr(inventory.mongo, "AsyncMongoClient", client)
    store, name = Store(mongodb_uri), uuid.uuid4().hex
    try:
        await store.prepare()
        await store.set_stock(name, "book", 10)
        commands.clear()
        assert (await store.reserve(to_reserve(name, "s1"))).success
        assert commands == [
            ("insert", True),
            ("findAndModify", True),
            ("commitTransaction", True),
        ]
        commands.clear()
        assert (await store.release(to_release(name, "s1"))).released == 1
        assert all(in_transaction for _, in_transaction in commands)
    finally:
        await store.close()
