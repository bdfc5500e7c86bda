"""With a product service, a cart and its events have the shop's prices, not the client's."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from tests.support.apis import shop_with
from tests.support.shop import Shop
from tests.support.waiting import eventually

IMAGE = "https://example.com/lamp.jpg"


@pytest.fixture
async def priced(shop: Shop) -> AsyncIterator[Shop]:
    """The shop with the reference product service; its inventory has lamps."""
    await shop.stock("lamp", 10)
    await shop.product("lamp", title="Lamp", price=99.5, images=[IMAGE])
    async with shop_with(shop, product_service_url=shop.world.settings.inventory) as served:
        yield served


async def test_cart_record_and_event_have_the_services_price(priced: Shop) -> None:
    buyer = priced.buyer()
    answer = await buyer.add("lamp", 2, productPrice=0.01, productTitle="Cheap lamp")
    assert answer.status_code == 201
    [line] = answer.json()["cartItems"]
    assert (line["productTitle"], line["productImage"]) == ("Lamp", [IMAGE])
    assert (line["productPrice"], line["priceSource"]) == (99.5, "product_service")
    assert "priceChanged" not in line
    cart = await buyer.cart()
    assert cart is not None
    assert (cart.total_price, cart.cart_items[0].product_price) == (Decimal(199), Decimal("99.5"))

    async def published() -> None:
        [event] = await priced.events()
        assert (event.value["productPrice"], event.value["priceSource"]) == (
            99.5,
            "product_service",
        )
        assert event.value["totalPrice"] == 199

    await eventually(published)
    await priced.assert_consistent()


async def test_an_unknown_product_reserves_nothing(priced: Shop) -> None:
    await priced.stock("cable", 5)
    buyer = priced.buyer()
    answer = await buyer.add("cable", 2)
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_product")
    assert await priced.units("cable") == (5, 0, 0)
    assert await priced.records() == []
    assert await buyer.runs() == []


async def test_while_the_service_is_down_nothing_is_reserved_and_a_retry_succeeds(
    priced: Shop,
) -> None:
    buyer = priced.buyer()
    await priced.fault("product", "error", storeId=priced.store_id)
    refused = await buyer.add("lamp", 2, key="k")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json()["code"] == "product_service_unavailable"
    assert await priced.units("lamp") == (10, 0, 0)
    added = await buyer.add("lamp", 2, key="k")
    assert (added.status_code, added.json()["totalPrice"]) == (201, 199)
    assert await priced.units("lamp") == (8, 2, 0)
    await priced.fault("product", "error", storeId=priced.store_id)
    repeated = await buyer.add("lamp", 2, key="k")
    assert (repeated.status_code, repeated.content) == (201, added.content)


async def test_a_later_look_takes_the_new_price_and_says_what_it_was(priced: Shop) -> None:
    buyer = priced.buyer()
    added = (await buyer.add("lamp", 2)).json()
    await priced.product("lamp", title="Lamp, now cheaper", price=80)
    updated = (await buyer.update(added["_id"], "lamp", 3)).json()
    [line] = updated["cartItems"]
    assert line["priceChanged"] == {"from": 99.5, "to": 80}
    assert (line["productPrice"], updated["totalPrice"]) == (80, 240)
    assert (await buyer.get()).json() == updated
    await priced.product("lamp", title="Lamp", price=90)
    [line] = (await buyer.add("lamp", 1)).json()["cartItems"]
    assert (line["productQuantity"], line["productPrice"]) == (4, 90)
    assert line["priceChanged"] == {"from": 80, "to": 90}
    again = (await buyer.update(added["_id"], "lamp", 1)).json()
    assert "priceChanged" not in again["cartItems"][0]

    async def published() -> None:
        events = sorted(await priced.events(), key=lambda one: one.value["version"])
        prices = [(one.value["productPrice"], one.value["totalPrice"]) for one in events]
        assert prices == [(99.5, 199), (80, 240), (90, 360), (90, 90)]

    await eventually(published)
    await priced.assert_consistent()


async def test_an_update_to_the_same_quantity_takes_a_new_price(priced: Shop) -> None:
    buyer = priced.buyer()
    added = (await buyer.add("lamp", 2)).json()
    same = (await buyer.update(added["_id"], "lamp", 2)).json()
    assert same == added
    await priced.product("lamp", title="Lamp", price=80)
    changed = (await buyer.update(added["_id"], "lamp", 2)).json()
    assert (changed["version"], changed["totalPrice"]) == (2, 160)
    assert await priced.units("lamp") == (8, 2, 0)


async def test_an_update_succeeds_while_the_service_is_down(priced: Shop) -> None:
    buyer = priced.buyer()
    added = (await buyer.add("lamp", 2)).json()
    await priced.product("lamp", title="Lamp", price=80)
    await priced.fault("product", "error", storeId=priced.store_id)
    updated = await buyer.update(added["_id"], "lamp", 1)
    assert (updated.status_code, updated.json()["totalPrice"]) == (200, 99.5)


async def test_a_product_that_the_service_cannot_serve_does_not_stop_others(priced: Shop) -> None:
    await priced.stock("cable", 10)
    await priced.product("cable", title="Cable", price=5)
    await priced.fault("product", "error", times=10, storeId=priced.store_id, productId="cable")
    for _ in range(5):
        assert (await priced.buyer().add("cable")).status_code == 503
        assert (await priced.buyer().add("lamp")).status_code == 201
    assert await priced.units("cable") == (10, 0, 0)


async def test_a_checkout_has_the_prices_of_its_moment(priced: Shop) -> None:
    buyer = priced.buyer()
    await buyer.add("lamp", 2)
    await priced.product("lamp", title="Lamp", price=80)
    checkout = f"{buyer.path}/checkout"
    await priced.fault("product", "error", storeId=priced.store_id)
    refused = await priced.world.http.post(checkout, headers=buyer.headers)
    assert (refused.status_code, refused.json()["code"]) == (503, "product_service_unavailable")
    begun = await priced.world.http.post(checkout, headers=buyer.headers)
    assert begun.status_code == 201, begun.text
    [line] = begun.json()["cartItems"]
    assert (line["productPrice"], begun.json()["totalPrice"]) == (80, 160)
    assert line["priceChanged"] == {"from": 99.5, "to": 80}


async def test_a_batch_has_the_services_prices(priced: Shop) -> None:
    await priced.stock("cable", 10)
    await priced.product("cable", title="Cable", price=5)
    buyer = priced.buyer()
    await buyer.add("cable", 1)
    await priced.product("cable", title="Cable", price=6)
    operations = [
        {"op": "add", "productId": "lamp", "productTitle": "x", "productPrice": 1, "quantity": 2},
        {"op": "set", "productId": "cable", "quantity": 3},
    ]
    answer = await priced.world.http.post(
        f"{buyer.path}/batch", json={"operations": operations}, headers=buyer.headers
    )
    assert answer.status_code == 200, answer.text
    lines = {line["productId"]: line for line in answer.json()["cartItems"]}
    assert (lines["lamp"]["productTitle"], lines["lamp"]["productPrice"]) == ("Lamp", 99.5)
    assert lines["cable"]["priceChanged"] == {"from": 5, "to": 6}
    assert answer.json()["totalPrice"] == 217
    await priced.assert_consistent()


async def test_health_names_the_service(priced: Shop) -> None:
    body = (await priced.world.http.get("/health")).json()
    assert body["services"]["products"] == "reachable"


async def test_without_the_service_nothing_of_it_appears(shop: Shop) -> None:
    await shop.stock("lamp", 10)
    await shop.product("lamp", title="Lamp", price=99.5)
    answer = await shop.buyer().add("lamp", 1, productPrice=3)
    [line] = answer.json()["cartItems"]
    assert (line["productPrice"], line["priceSource"]) == (3, "client")
    assert "products" not in (await shop.world.http.get("/health")).json()["services"]
