"""`cart compare`: what counts as a difference between two services, and how it is shown."""

from collections.abc import Callable
from typing import Any

import jwt
import pytest

from cli import compare
from cli.compare import SHOWN, Differs, differences
from models.documents import Cart
from models.errors import DependencyUnavailable
from settings import Settings
from tests.fakes.api import cart_of
from tests.unit.cli_standin import (
    CommandResult,
    FakeResponse,
    ReceivedRequest,
    clear_environment,
    run,
    standin,
)


def answer(status: int = 200, **more: Any) -> dict[str, Any]:
    item = {"productId": "p", "productPrice": 79.99, "productImage": ["https://e.example/a"]}
    return {"status": status, "quantity": 2, "totalPrice": 159.98, "cartItems": [item]} | more


def found(here: dict[str, Any], there: dict[str, Any]) -> list[Differs]:
    return list(differences("s/u", here, there))


@pytest.mark.parametrize(
    "there",
    [
        answer(),
        answer(totalPrice=159.98000000000002),
        answer(cartItems=[{"productId": "p", "productImage": "https://e.example/a"}]),
    ],
)
def test_the_same_in_another_spelling_is_no_difference(there: dict[str, Any]) -> None:
    assert found(answer(currency="USD"), there) == []


def test_another_status_is_the_only_difference() -> None:
    assert found(answer(404, message="Cart not found"), answer()) == [
        Differs("s/u", None, "status", 404, 200)
    ]


def test_fields_and_lines_that_differ_are_named() -> None:
    there = answer(
        quantity=3, cartItems=[{"productId": "p", "productPrice": 80}, {"productId": "q"}]
    )
    assert found(answer(), there) == [
        Differs("s/u", None, "quantity", 2, 3),
        Differs("s/u", "p", "productPrice", 79.99, 80),
        Differs("s/u", "q", "line", "absent", "present"),
    ]


def test_a_field_that_is_missing_here_is_named() -> None:
    assert found(answer(), answer(couponCode="X")) == [
        Differs("s/u", None, "couponCode", "absent", "X")
    ]


CARTS = [cart_of(id=f"cart-{number}", user_id=f"user {number}") for number in range(3)]
Compare = Callable[..., CommandResult]


class TwoServices:
    """This service and another one, which answer each cart by the user of its token."""

    def __init__(self) -> None:
        self.carts = list(CARTS)
        self.paths: set[str] = set()
        self.stores: list[str | None] = []
        self.there: dict[str, dict[str, Any]] = {}
        self.down = False

    async def latest(self, _: Settings, store: str | None, limit: int) -> list[Cart]:
        if self.down:
            raise DependencyUnavailable("mongodb", "no answer")
        self.stores.append(store)
        return self.carts[:limit]

    @staticmethod
    def user_of(request: ReceivedRequest) -> str:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        claims: dict[str, str] = jwt.decode(token, options={"verify_signature": False})
        return claims["sub"]

    def here(self, request: ReceivedRequest) -> FakeResponse:
        self.paths.add(request.path)
        return FakeResponse(200, {"quantity": 2, "userId": self.user_of(request)})

    def other(self, request: ReceivedRequest) -> FakeResponse:
        user = self.user_of(request)
        fields: dict[str, Any] = {"quantity": 2, "userId": user, **self.there.get(user, {})}
        return FakeResponse(fields.pop("status", 200), fields)


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> TwoServices:
    services = TwoServices()
    monkeypatch.setattr(compare, "latest_carts", services.latest)
    return services


@pytest.fixture
def compared(
    services: TwoServices, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Compare:
    def ran(*words: str) -> CommandResult:
        with standin(services.here) as here, standin(services.other) as there:
            clear_environment(monkeypatch, PORT=here)
            return run(capsys, "compare", "--against", f"http://127.0.0.1:{there}/", *words)

    return ran


def test_services_that_agree_end_with_0(services: TwoServices, compared: Compare) -> None:
    ran = compared("--store", "store-1")
    assert (ran.code, ran.out.strip()) == (0, "3 carts compared, 0 differ")
    assert services.stores == ["store-1"]
    assert services.paths == {"/api/v1/cart/store-1/store"}


def test_services_that_differ_end_with_1_and_name_cart_and_values(
    services: TwoServices, compared: Compare
) -> None:
    services.there = {"user 1": {"quantity": 3}, "user 2": {"status": 404}}
    ran = compared()
    assert (ran.code, "3 carts compared, 2 differ" in ran.out) == (1, True)
    rows = [line.split() for line in ran.out.splitlines()]
    assert ["store-1/user%201", "-", "quantity", "2", "3"] in rows
    assert ["store-1/user%202", "-", "status", "200", "404"] in rows


def test_at_most_so_many_carts_are_compared(compared: Compare) -> None:
    assert compared("--limit", "2", "--json").json == {"carts": 2, "differences": []}


def test_an_admins_token_reads_each_cart_by_its_id(
    services: TwoServices, compared: Compare
) -> None:
    assert compared("--token", jwt.encode({"sub": "admin"}, "s" * 32)).code == 0
    assert services.paths == {f"/api/v1/cart/{cart.id}" for cart in CARTS}


def test_many_differences_are_counted_and_the_json_has_all(
    services: TwoServices, compared: Compare
) -> None:
    fields = {f"field-{number}": 1 for number in range(SHOWN + 5)}
    services.there = {"user 0": fields}
    assert "5 more differences; --json has all" in compared().out
    assert len(compared("--json").json["differences"]) == SHOWN + 5


def test_a_service_that_does_not_answer_is_an_error(
    services: TwoServices, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(monkeypatch)
    ran = run(capsys, "compare", "--against", "http://127.0.0.1:1")
    assert (ran.code, "a service does not answer: " in ran.err) == (1, True)
    services.down = True
    ran = run(capsys, "compare", "--against", "http://127.0.0.1:1")
    assert (ran.code, "mongodb is unavailable: no answer" in ran.err) == (1, True)
