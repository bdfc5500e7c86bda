"""`cart demo` against a fake service: correct, and with one error at a time."""

import socket
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from dev.demo import actions, session
from dev.demo.session import differences
from models.events import CART_ITEM_OUT_OF_STOCK, ORDER_CANCELLED, ORDER_COMPLETED
from settings import Settings
from tests.unit.cli_standin import (
    CommandResult,
    FakeResponse,
    ReceivedRequest,
    clear_environment,
    run,
    standin,
)

STEPS = 50
Tamper = Callable[[ReceivedRequest, FakeResponse], FakeResponse]


class FakeService:
    """The cart service and the inventory in memory, with the features that the demo uses."""

    def __init__(self, tamper: Tamper) -> None:
        self._tamper = tamper
        self.stock: dict[str, dict[str, int]] = {}
        self.carts: dict[str, dict[str, Any]] = {}
        self.frozen: set[str] = set()
        self.lost = 0
        self.answered: dict[tuple[str, str], tuple[Any, FakeResponse]] = {}

    def __call__(self, request: ReceivedRequest) -> FakeResponse:
        return self._tamper(request, self._answer(request))

    def _answer(self, request: ReceivedRequest) -> FakeResponse:
        if request.path.startswith("/health"):
            return FakeResponse(200, {"status": "healthy", "services": {"mongodb": "connected"}})
        if request.path.startswith("/api/v1/inventories/"):
            return self._inventory(request)
        if request.path == "/api/v1/guests":
            token = jwt.encode({"sub": "guest:1"}, "a secret of the guests with 32 bytes")
            return FakeResponse(201, {"token": token})
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token:
            return FakeResponse(401, {"message": "no token"})
        user = jwt.decode(token, options={"verify_signature": False})["sub"]
        if request.path.endswith("/admin/carts"):
            return FakeResponse(
                200, {"data": {"carts": list(self.carts.values())}, "success": True}
            )
        if request.method == "GET":
            by_id = not request.path.endswith("/store")
            cart = self.carts.get(request.path.rpartition("/")[2] if by_id else user)
            return (
                FakeResponse(200, cart)
                if cart
                else FakeResponse(404, {"message": "Cart not found"})
            )
        return self._idempotent(user, request)

    def _inventory(self, request: ReceivedRequest) -> FakeResponse:
        if request.path.endswith("/reserve"):
            self._move(request.body["productId"], request.body["quantity"])
            self.lost = request.body["quantity"]
            return FakeResponse(200, {"reserved": True})
        product = request.path.rpartition("/")[2]
        stock = self.stock.setdefault(product, {"available": 0, "held": 0, "sold": 0})
        if request.method == "PUT":
            stock["available"] = request.body["available"]
        return FakeResponse(200, dict(stock))

    async def tell(self, _: Settings, topic: str, event: dict[str, Any]) -> None:
        """The effect of an event."""
        if topic == ORDER_CANCELLED:
            self.frozen.discard(event["userId"])
            self.carts[event["userId"]]["version"] += 1
            return
        if topic == ORDER_COMPLETED:
            self.frozen.discard(event["userId"])
            cart = self.carts.pop(event["userId"], None)
            if cart is None:  # two concurrent requests got equal replies
                return
            stock = self.stock[cart["cartItems"][0]["productId"]]
            stock["held"] -= cart["quantity"]
            stock["sold"] += cart["quantity"]
            return
        out = topic == CART_ITEM_OUT_OF_STOCK
        cart = self.carts["shopper"]
        cart["version"] += 1
        cart["cartItems"][0] |= {
            "availabilityStatus": "out_of_stock" if out else "available",
            "unavailabilityReason": "Recalled" if out else None,
        }

    async def let_a_month_pass(self, _: Settings, store: str, user: str) -> str:
        """The effect of expiry on a cart."""
        assert store
        cart = self.carts.pop(user)
        self._move("headphones", -cart["quantity"])
        return "page of expiry"

    async def let_the_holds_end(self, _: Settings, store: str, user: str) -> str:
        """The effect of the end of holds on a cart."""
        assert store
        cart = self.carts[user]
        self._move("lamp", -cart["quantity"])
        cart["version"] += 1
        cart["cartItems"][0]["availabilityStatus"] = "hold_expired"
        return "page of the end of holds"

    async def repair(self, _: Settings, store: str) -> tuple[list[dict[str, Any]], str]:
        """The findings of a repair, once."""
        assert store
        if not self.lost:
            return [], "page"
        self._move("headphones", -self.lost)
        drift = {"kind": "orphaned_hold", "done": f"released {self.lost}"}
        self.lost = 0
        return [drift], "page"

    def _idempotent(self, user: str, request: ReceivedRequest) -> FakeResponse:
        key = (user, request.headers.get("Idempotency-Key") or str(len(self.answered)))
        if key in self.answered:
            body, answer = self.answered[key]
            if body != request.body:
                return FakeResponse(422, {"message": "reused", "code": "idempotency_key_reused"})
            return FakeResponse(answer.status, answer.body, {"Idempotent-Replayed": "true"})
        if request.path.endswith("/checkout"):
            answer = self._check_out(user)
        elif user in self.frozen:
            answer = FakeResponse(409, {"message": "frozen", "code": "cart_checked_out"})
        elif request.method == "PUT":
            answer = self._set(user, request.body)
        elif request.path.endswith("/batch"):
            answer = self._batch(user, request.body["operations"])
        elif request.path.endswith("/merge"):
            answer = self._merge(user)
        elif request.method == "DELETE":
            answer = self._take_out(user, request.path)
        else:
            answer = self._add(user, request.body)
        self.answered[key] = (request.body, answer)
        return answer

    def _check_out(self, user: str) -> FakeResponse:
        cart = self.carts[user]
        line = cart["cartItems"][0]
        if line.get("availabilityStatus") == "hold_expired":
            self._move("lamp", cart["quantity"])
            line["availabilityStatus"] = "available"
        cart["version"] += 1
        self.frozen.add(user)
        return FakeResponse(201, {"checkoutId": f"checkout-{cart['version']}", **cart})

    def _set(self, user: str, body: dict[str, Any]) -> FakeResponse:
        cart, quantity = self.carts[user], body["quantity"]
        more = quantity - cart["quantity"]
        if more:
            self._move(body["productId"], more)
            price = cart["cartItems"][0]["productPrice"]
            cart |= {"quantity": quantity, "totalPrice": round(quantity * price, 2)}
            cart["version"] += 1
        return FakeResponse(200, dict(cart))

    def _batch(self, user: str, operations: list[dict[str, Any]]) -> FakeResponse:
        if any(one["op"] == "set" for one in operations):
            left = self.stock["record"]["available"]
            lines = [{"productId": "record", "wanted": 4, "available": left}]
            return FakeResponse(409, {"code": "insufficient_stock", "lines": lines})
        for one in operations:
            self._move(one["productId"], one["quantity"])
        self._store(user, {one["productId"]: one["quantity"] for one in operations}, version=1)
        return FakeResponse(201, self.carts[user])

    def _merge(self, user: str) -> FakeResponse:
        units = {one["productId"]: one["productQuantity"] for one in self.carts[user]["cartItems"]}
        for line in self.carts.pop("guest:1")["cartItems"]:
            product = line["productId"]
            units[product] = units.get(product, 0) + line["productQuantity"]
        self._store(user, units, version=2)
        return FakeResponse(200, self.carts[user])

    def _store(self, user: str, units: dict[str, int], *, version: int) -> None:
        lines = [{"productId": name, "productQuantity": number} for name, number in units.items()]
        content = {"quantity": sum(units.values()), "version": version, "cartItems": lines}
        self.carts[user] = {"_id": user, "userId": user} | content

    def _take_out(self, user: str, path: str) -> FakeResponse:
        cart = self.carts[user]
        for line in cart["cartItems"]:
            units = line.get("productQuantity", cart["quantity"])
            several = len(cart["cartItems"]) > 1
            self._move(line["productId"], -(units if several else cart["quantity"]))
        cart["quantity"] = 0
        if path.endswith("/store"):
            del self.carts[user]
            return FakeResponse(200, {"message": "Cart cleared"})
        return FakeResponse(200, {"message": "Item removed from cart"})

    def _move(self, product: str, units: int) -> None:
        self.stock[product]["available"] -= units
        self.stock[product]["held"] += units

    def _add(self, user: str, body: dict[str, Any]) -> FakeResponse:
        product, quantity = body["productId"], body["quantity"]
        cart = self.carts.get(user, {"_id": user, "quantity": 0, "version": 0})
        invalid = {"error": "Validation failed", "details": [{"field": "quantity", "message": ""}]}
        if quantity < 1 or cart["quantity"] + quantity > 100:
            return FakeResponse(400, invalid)
        stock = self.stock[product]
        if quantity > (left := stock["available"]):
            message = f"Insufficient stock. Only {left} available."
            refusal = {"message": message, "code": "insufficient_stock", "available": left}
            return FakeResponse(200, refusal)
        self._move(product, quantity)
        units, price = cart["quantity"] + quantity, body["productPrice"]
        line = {"productId": product, "productQuantity": units, "productPrice": price}
        self.carts[user] = {
            "_id": user,
            "userId": user,
            "quantity": units,
            "totalPrice": round(units * price, 2),
            "version": cart["version"] + 1,
            "cartItems": [line],
        }
        return FakeResponse(201, self.carts[user])


Walk = Callable[..., CommandResult]


@pytest.fixture
def walk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Walk:
    def walk(
        *words: str, tamper: Tamper = lambda _, answer: answer, **values: object
    ) -> CommandResult:
        shop = FakeService(tamper)
        with standin(shop) as port:
            clear_environment(monkeypatch, PORT=port, INVENTORY_PORT=port, **values)
            monkeypatch.setattr(actions, "publish_event", shop.tell)
            monkeypatch.setattr(actions, "expire_cart", shop.let_a_month_pass)
            monkeypatch.setattr(actions, "end_holds", shop.let_the_holds_end)
            monkeypatch.setattr(actions, "repair", shop.repair)
            monkeypatch.setattr(session, "EFFECT_SECONDS", 0.5)
            return run(capsys, "demo", *words)

    return walk


def test_the_demo_passes_with_a_correct_service(walk: Walk) -> None:
    ended = walk("--json")

    assert ended.code == 0
    assert ended.json["ok"] is True
    assert len(ended.json["steps"]) == STEPS
    assert [step for step in ended.json["steps"] if not step["ok"]] == []


def test_every_run_uses_a_new_store(walk: Walk) -> None:
    stores = {walk("--json").json["storeId"] for _ in range(2)}

    assert len(stores) == 2
    assert all(store.startswith("demo-") for store in stores)


def test_the_output_names_each_step(walk: Walk) -> None:
    ended = walk(TEMPORAL_UI_URL="https://ui.example", TEMPORAL_NAMESPACE="shop")

    assert ended.code == 0
    assert ended.out.count("✓") == STEPS
    assert "✗" not in ended.out
    assert "    POST /api/v1/cart/demo-" in ended.out
    assert '201 {"quantity": 2, "totalPrice": 159.98, "version": 1}' in ended.out
    assert "https://ui.example/namespaces/shop/workflows/cart%2Fdemo-" in ended.out
    assert f"{STEPS} of {STEPS} steps passed" in ended.out


def test_only_steps_with_a_saga_have_a_link_to_the_workflow(walk: Walk) -> None:
    steps = {step["title"]: step for step in walk("--json").json["steps"]}

    (saga,) = steps["Add 2 headphones"]["sagas"]
    assert saga.endswith("%2Fshopper")
    assert steps["Get the cart"]["sagas"] == []
    assert steps["Get the cart without a token"]["sagas"] == []
    assert len(steps["Two shoppers add it at once: one gets it"]["sagas"]) == 2


def test_each_saga_of_the_shop_has_its_link(walk: Walk) -> None:
    steps = {step["title"]: step for step in walk("--json").json["steps"]}

    for title, ends in {
        "The holds end: the units are given back": "page of the end of holds",
        "The checkout reserves them again, and freezes the cart": "%2Fcheckout-user",
        "Event: the payment failed; the cart can be changed again": "%2Fcheckout-user",
        "Event: the payment succeeded; exactly the frozen units are sold": "%2Fcheckout-user",
        "A batch adds two products in one step": "%2Fcollector",
        "The guest adds the last 2 records": "%2Fguest%253A1",
        "The guest signs in: the carts are merged, and the records stay held": "%2Fcollector",
    }.items():
        [page] = steps[title]["sagas"]
        assert page.endswith(ends)


def is_post(request: ReceivedRequest) -> bool:
    return request.method == "POST"


def wrong_total(_: ReceivedRequest, answer: FakeResponse) -> FakeResponse:
    if isinstance(answer.body, dict) and answer.body.get("totalPrice") == 159.98:
        return FakeResponse(answer.status, {**answer.body, "totalPrice": 160}, answer.headers)
    return answer


def not_replayed(_: ReceivedRequest, answer: FakeResponse) -> FakeResponse:
    return FakeResponse(answer.status, answer.body)


def taken_twice(request: ReceivedRequest, answer: FakeResponse) -> FakeResponse:
    if "/check/headphones" in request.path:
        return FakeResponse(200, {**answer.body, "available": answer.body["available"] - 2})
    return answer


def both_get_the_last_one(request: ReceivedRequest, answer: FakeResponse) -> FakeResponse:
    if is_post(request) and request.body["productId"] == "poster" and answer.status == 200:
        return FakeResponse(201, {"quantity": 1, "totalPrice": 19.99})
    return answer


def no_authentication(_: ReceivedRequest, answer: FakeResponse) -> FakeResponse:
    return FakeResponse(200, {}) if answer.status == 401 else answer


def other_validation_shape(request: ReceivedRequest, answer: FakeResponse) -> FakeResponse:
    if answer.status == 400 and request.body["quantity"] == 0:
        return FakeResponse(400, {"detail": "no"})
    return answer


@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        (wrong_total, "expected totalPrice: 159.98, got 160"),
        (not_replayed, "expected header Idempotent-Replayed: true, got None"),
        (taken_twice, "expected available: 8, got 6"),
        (both_get_the_last_one, "expected status 200, got 201"),
        (no_authentication, "expected status 401, got 200"),
        (other_validation_shape, "expected error: 'Validation failed', but there is none"),
    ],
)
def test_a_wrong_reply_is_reported_and_fails_the_demo(
    walk: Walk, tamper: Tamper, expected: str
) -> None:
    ended = walk(tamper=tamper)

    assert ended.code == 1
    assert "✗" in ended.out
    assert expected in ended.out


def test_without_the_api_the_error_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(monkeypatch)

    ended = run(capsys, "demo")

    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "the API does not answer at http://127.0.0.1:1: start it with make run\n"


def test_an_api_that_hangs_is_not_to_be_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that accepts connections and never answers."""
    monkeypatch.setattr(session, "TIMEOUT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        clear_environment(monkeypatch, PORT=hung.getsockname()[1])

        ended = run(capsys, "demo")

    assert ended.code == 1
    assert "no answer in time" in ended.err
    assert "restart it" in ended.err
    assert "make run" not in ended.err


def test_the_demo_stops_if_the_service_is_not_healthy(walk: Walk) -> None:
    def unhealthy(request: ReceivedRequest, answer: FakeResponse) -> FakeResponse:
        return FakeResponse(503, {"status": "unhealthy"}) if request.path == "/health" else answer

    ended = walk("--json", tamper=unhealthy)

    assert ended.code == 1
    assert len(ended.json["steps"]) == 1
    assert "cart doctor" in ended.json["stopped"]


def test_the_demo_stops_if_the_inventory_takes_no_stock(walk: Walk) -> None:
    def refuse(request: ReceivedRequest, answer: FakeResponse) -> FakeResponse:
        return FakeResponse(404, {"message": "Not Found"}) if request.method == "PUT" else answer

    ended = walk(tamper=refuse)

    assert ended.code == 1
    assert "only the reference inventory takes" in ended.out


def test_the_demo_stops_if_the_first_add_fails(walk: Walk) -> None:
    def too_slow(request: ReceivedRequest, answer: FakeResponse) -> FakeResponse:
        return FakeResponse(202, {"status": "pending"}) if is_post(request) else answer

    ended = walk("--json", tamper=too_slow)

    assert ended.code == 1
    assert ended.json["steps"][-1]["problems"] == ["expected status 201, got 202"]
    assert "cart doctor" in ended.json["stopped"]


def test_the_demo_refuses_to_run_in_production(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(
        monkeypatch,
        ENVIRONMENT="production",
        JWT_SECRET="x" * 32,
        JWT_ISSUER="https://id.example.com",
        JWT_AUDIENCE="cart",
        DATA_SECRETS="y" * 32,
        MONGODB_URI="mongodb://127.0.0.1:1",
        REDIS_URL="redis://127.0.0.1:1",
        KAFKA_BROKERS="127.0.0.1:1",
        INVENTORY_SERVICE_URL="http://127.0.0.1:1",
    )

    ended = run(capsys, "demo")

    assert ended.code == 1
    assert "production" in ended.err


def test_a_missing_secret_is_one_line(walk: Walk) -> None:
    ended = walk(JWT_ALGORITHM="RS256", JWT_JWKS_URL="https://issuer.example/jwks")

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("the demo cannot sign anybody in: ")


@pytest.mark.parametrize(
    ("expected", "got", "problems"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["expected a.b: 1, got 2"]),
        ({"a": 1}, {}, ["expected a: 1, but there is none"]),
        ([{"a": 1}], [{"a": 2}, {"a": 1, "b": 2}], []),
        ({"list": [{"a": 1}]}, {"list": []}, ["expected list to have {'a': 1}"]),
        ({"a": 1}, None, ["expected the answer: {'a': 1}, got None"]),
    ],
)
def test_the_differences_between_expected_and_actual_replies(
    expected: Any, got: Any, problems: list[str]
) -> None:
    assert differences(expected, got) == problems
