"""Random operations of two shoppers have the same effect on the service and on a plain model."""

import time
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from cli.token import mint_token
from dev.stack.servers import shared_tls
from settings import Settings
from tests.support.shop import World

USERS = st.sampled_from(("anna", "bert"))
PRODUCTS = st.sampled_from(("headphones", "cable"))
QUANTITIES = st.integers(min_value=1, max_value=8)
PRICES = st.sampled_from(("0.10", "79.99", "5.00"))
STOCK = 12
SETTLE_SECONDS = 20


class Shopping(RuleBasedStateMachine):
    """The model: a dictionary for each cart, and the available units of each product."""

    service: Settings  # set by the test

    def __init__(self) -> None:
        super().__init__()
        settings = self.service
        self.store = f"model-{uuid4().hex[:10]}"
        tls = shared_tls()
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{settings.port}", timeout=30, verify=tls
        )
        self.inventory = httpx.Client(base_url=settings.inventory, timeout=10, verify=tls)
        self.left = {"headphones": STOCK, "cable": STOCK}
        self.carts: dict[str, dict[str, Any]] = {}
        self.latest: tuple[str, str, str, Any, httpx.Response] | None = None

    @initialize()
    def stock_the_shop(self) -> None:
        for product, units in self.left.items():
            self.inventory.put(
                f"/api/v1/inventories/stock/{product}",
                params={"storeId": self.store},
                json={"available": units},
            ).raise_for_status()

    @rule(user=USERS, product=PRODUCTS, quantity=QUANTITIES, price=PRICES)
    def add(self, user: str, product: str, quantity: int, price: str) -> None:
        body = {
            "productId": product,
            "productTitle": product,
            "productPrice": float(price),
            "quantity": quantity,
        }
        answer = self.call(user, "POST", self.own, body)
        if quantity > self.left[product]:
            assert answer.status_code == 200
            assert answer.json()["available"] == self.left[product]
            return
        assert answer.status_code == 201, answer.text
        cart = self.carts.setdefault(user, {"version": 0, "lines": {}})
        before = cart["lines"].get(product, (0, None))[0]
        cart["lines"][product] = (before + quantity, Decimal(price))
        self.left[product] -= quantity
        self.moved(user, answer)

    @rule(user=USERS, product=PRODUCTS, quantity=QUANTITIES)
    def set_quantity(self, user: str, product: str, quantity: int) -> None:
        cart = self.carts.get(user)
        if cart is None:
            return
        answer = self.call(user, "PUT", cart["url"], {"productId": product, "quantity": quantity})
        if product not in cart["lines"]:
            assert (answer.status_code, answer.json()["message"]) == (404, "Item not found in cart")
            return
        before, price = cart["lines"][product]
        if quantity - before > self.left[product]:
            assert (answer.status_code, answer.json()["available"]) == (400, self.left[product])
            return
        assert answer.status_code == 200, answer.text
        self.left[product] -= quantity - before
        cart["lines"][product] = (quantity, price)
        self.moved(user, answer, changed=quantity != before)

    @rule(user=USERS, product=PRODUCTS)
    def remove(self, user: str, product: str) -> None:
        cart = self.carts.get(user)
        if cart is None:
            return
        answer = self.call(user, "DELETE", f"{cart['url']}/items/{product}")
        if product not in cart["lines"]:
            assert answer.status_code == 404
            return
        assert answer.status_code == 200
        self.left[product] += cart["lines"].pop(product)[0]
        cart["version"] += 1
        self.wait_for_released_units()

    @rule(user=USERS)
    def clear(self, user: str) -> None:
        answer = self.call(user, "DELETE", self.own)
        cart = self.carts.pop(user, None)
        assert answer.status_code == (404 if cart is None else 200)
        if cart is not None:
            for product, (quantity, _) in cart["lines"].items():
                self.left[product] += quantity
            self.wait_for_released_units()

    @rule(user=USERS)
    def read(self, user: str) -> None:
        answer = self.call(user, "GET", self.own)
        if user not in self.carts:
            assert answer.status_code == 404
        else:
            self.compare(user, answer)

    @rule()
    def repeat_the_latest_change(self) -> None:
        if self.latest is None:
            return
        user, method, url, key, first = self.latest
        body = first.request.content
        again = self.http.request(
            method,
            url,
            content=body,
            headers=self.headers(user, key) | {"Content-Type": "application/json"},
        )
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["Idempotent-Replayed"] == "true"

    @property
    def own(self) -> str:
        return f"/api/v1/cart/{self.store}/store"

    def headers(self, user: str, key: str) -> dict[str, str]:
        token = mint_token(self.service, user=user)
        return {"Authorization": f"Bearer {token}", "Idempotency-Key": key}

    def call(self, user: str, method: str, url: str, body: Any = None) -> httpx.Response:
        key = uuid4().hex
        answer = self.http.request(method, url, json=body, headers=self.headers(user, key))
        done = answer.status_code in {200, 201} and "code" not in answer.text
        if method != "GET" and done:
            unchanged = method == "PUT" and answer.json()["version"] == self.carts[user]["version"]
            self.latest = None if unchanged else (user, method, url, key, answer)
        return answer

    def moved(self, user: str, answer: httpx.Response, *, changed: bool = True) -> None:
        self.carts[user]["version"] += changed
        self.carts[user]["url"] = f"/api/v1/cart/{answer.json()['_id']}"
        self.compare(user, answer)
        if answer.request.method == "PUT":
            self.wait_for_released_units()

    def compare(self, user: str, answer: httpx.Response) -> None:
        cart, body = self.carts[user], answer.json()
        lines = {
            line["productId"]: (line["productQuantity"], Decimal(str(line["productPrice"])))
            for line in body["cartItems"]
        }
        assert lines == cart["lines"]
        assert body["version"] == cart["version"]
        assert body["quantity"] == sum(quantity for quantity, _ in lines.values())
        total = sum((price * quantity for quantity, price in lines.values()), Decimal(0))
        assert Decimal(str(body["totalPrice"])) == total

    def wait_for_released_units(self) -> None:
        """Waits until released units are available, which is after the reply."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (found := self.available()) != self.left:
            assert time.monotonic() < deadline, (found, self.left)
            time.sleep(0.01)

    def available(self) -> dict[str, int]:
        return {
            product: self.inventory.get(
                f"/api/v1/inventories/check/{product}", params={"storeId": self.store}
            ).json()["available"]
            for product in self.left
        }

    def teardown(self) -> None:
        self.wait_for_released_units()
        self.http.close()
        self.inventory.close()


def test_two_shoppers_have_the_carts_of_a_plain_model(world: World) -> None:
    Shopping.service = world.settings
    run_state_machine_as_test(
        Shopping,
        settings=hypothesis_settings(
            max_examples=12,
            stateful_step_count=15,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
