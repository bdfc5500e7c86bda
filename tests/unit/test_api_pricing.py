"""With a product service, what is added has its title, images and price, and not the client's."""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from api.schemas import Problem
from models.errors import DependencyUnavailable
from models.operations import UpdateQuantity
from models.outcomes import Outcome
from models.products import Product
from tests.fakes.api import ITEM, STORE, USER, FakeApi, cart_of, record_of, result_of

LAMP = Product(
    title="Lamp", images=("https://example.com/lamp.jpg",), price=Decimal("99.50"), currency=None
)
KEY = {"Idempotency-Key": "k"}
CART_ID = "507f1f77bcf86cd799439013"


@dataclass
class FakeProducts:
    """Knows some products; with `down` every call fails."""

    known: dict[str, Product] = field(default_factory=lambda: {ITEM["productId"]: LAMP})
    asked: list[tuple[str, ...]] = field(default_factory=list)
    down: bool = False

    async def products(self, store_id: str, product_ids: Collection[str]) -> dict[str, Product]:
        assert store_id == STORE
        self.asked.append(tuple(product_ids))
        if self.down:
            raise DependencyUnavailable("product_service", "down")
        return {one: self.known[one] for one in product_ids if one in self.known}


@pytest.fixture
def products() -> FakeProducts:
    return FakeProducts()


@pytest.fixture
async def api(products: FakeProducts) -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    fake.app.state.api = fake.state = replace(fake.state, products=products)
    fake.gateway.outcome = result_of(
        Outcome.COMMITTED, cart_id="507f1f77bcf86cd799439013", answer=record_of().answer
    )
    yield fake
    await fake.client.aclose()


async def test_an_add_takes_the_products_own(api: FakeApi) -> None:
    assert (await api.post()).status_code == 201
    [added] = api.gateway.added
    assert (added.product_title, added.product_images) == (LAMP.title, LAMP.images)
    assert (added.product_price, added.price_source) == (LAMP.price, "product_service")
    assert added.product_description == ITEM["productDescription"]


async def test_without_the_service_it_takes_the_clients() -> None:
    api = FakeApi()
    api.gateway.outcome = result_of(Outcome.COMMITTED, answer=record_of().answer)
    await api.post()
    [added] = api.gateway.added
    assert (added.product_title, added.product_price) == (ITEM["productTitle"], Decimal("79.99"))
    assert added.price_source == "client"
    await api.client.aclose()


async def test_an_unknown_product_is_refused_and_nothing_starts(
    api: FakeApi, products: FakeProducts
) -> None:
    products.known.clear()
    answer = await api.post()
    assert answer.status_code == 400
    assert answer.json() == {
        "message": "This product is not known in this store",
        "code": "unknown_product",
        "productId": ITEM["productId"],
    }
    Problem.model_validate(answer.json())
    assert api.gateway.started == []


@pytest.mark.parametrize("currency", ["EUR", None])
async def test_while_it_gives_no_price_nothing_starts(
    api: FakeApi, products: FakeProducts, currency: str | None
) -> None:
    if currency is None:
        products.down = True
    else:  # the store sells in USD
        products.known[ITEM["productId"]] = LAMP.model_copy(update={"currency": currency})
    answer = await api.post()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json() == {
        "message": "Prices are unavailable at the moment; try again",
        "code": "product_service_unavailable",
    }
    assert api.gateway.started == []


async def test_a_repeat_gets_its_answer_while_the_service_is_down(
    api: FakeApi, products: FakeProducts
) -> None:
    await api.post(headers=KEY)
    [first] = api.gateway.added
    api.mongo.records.append(record_of(first.operation_id, fingerprint=first.fingerprint))
    products.down = True
    answer = await api.post(headers=KEY)
    assert (answer.status_code, answer.headers["idempotent-replayed"]) == (201, "true")
    assert len(api.gateway.started) == 1


async def test_a_repeat_is_the_same_request_when_the_price_has_changed(
    api: FakeApi, products: FakeProducts
) -> None:
    await api.post(headers=KEY)
    products.known[ITEM["productId"]] = LAMP.model_copy(update={"price": Decimal(1)})
    await api.post(headers=KEY)
    first, second = api.gateway.added
    assert first.fingerprint == second.fingerprint
    assert second.product_price == Decimal(1)


UPDATE = f"/api/v1/cart/{CART_ID}"


async def update(api: FakeApi) -> UpdateQuantity:
    """Sends an update of the product's quantity; returns the operation that it started."""
    api.mongo.carts[STORE, USER] = cart_of()
    body = {"productId": ITEM["productId"], "quantity": 3}
    answer = await api.client.put(UPDATE, json=body, headers=api.token())
    assert answer.status_code == 201  # as the fake says
    [operation] = api.gateway.started
    assert isinstance(operation, UpdateQuantity)
    return operation


async def test_an_update_looks_at_the_price_again(api: FakeApi) -> None:
    assert (await update(api)).current_price == LAMP.price


@pytest.mark.parametrize("why", ["down", "unknown", "other currency"])
async def test_an_update_can_do_without_the_price(
    api: FakeApi, products: FakeProducts, why: str
) -> None:
    match why:
        case "down":
            products.down = True
        case "unknown":
            products.known.clear()
        case _:
            products.known[ITEM["productId"]] = LAMP.model_copy(update={"currency": "EUR"})
    assert (await update(api)).current_price is None
    assert len(products.asked) == 1


async def test_a_request_that_breaks_a_rule_asks_for_no_price(
    api: FakeApi, products: FakeProducts
) -> None:
    assert (await api.post(ITEM | {"quantity": 0})).status_code == 400
    without_price = {name: value for name, value in ITEM.items() if name != "productPrice"}
    assert (await api.post(without_price)).status_code == 400
    assert products.asked == []
