"""The reference product service, beside the inventory in one process."""

from tests.integration.inventory.service import Warehouse

API = "/api/v1/products"


async def test_a_product_is_as_it_was_set_last(warehouse: Warehouse) -> None:
    url = f"{API}/book?storeId={warehouse.store}"
    for body in (
        {"title": "A book", "price": 12.1, "currency": "EUR"},
        {"title": "Another", "price": 79.99, "images": ["https://example.com/b.jpg"]},
    ):
        assert (await warehouse.call("PUT", url, json=body))[0] == 200
        status, found = await warehouse.call("GET", url)
        assert (status, found) == (200, {"images": [], **body, "productId": "book"})


async def test_products_belong_to_their_store(warehouse: Warehouse) -> None:
    url = f"{API}/book?storeId={warehouse.store}"
    await warehouse.call("PUT", url, json={"title": "A book", "price": 1})
    status, body = await warehouse.call("GET", f"{API}/book?storeId=another")
    assert (status, body) == (404, {"message": "No such product in this store"})


async def test_invalid_products_are_refused_with_the_field(warehouse: Warehouse) -> None:
    url = f"{API}/book?storeId={warehouse.store}"
    for body, name in (
        ({"title": "A book", "price": -1}, "price"),
        ({"title": "A book", "price": 0.001}, "price"),
        ({"title": "", "price": 1}, "title"),
        ({"price": 1}, "title"),
        ({"title": "A book", "price": 1, "stock": 3}, "stock"),
    ):
        status, answer = await warehouse.call("PUT", url, json=body)
        assert (status, answer["details"][0]["field"]) == (400, name)


async def test_faults_of_one_product(warehouse: Warehouse) -> None:
    url = f"{API}/book?storeId={warehouse.store}"
    await warehouse.call("PUT", url, json={"title": "A book", "price": 1})
    fault = {"action": "product", "fault": "error", "storeId": warehouse.store, "productId": "book"}
    assert (await warehouse.call("POST", "/faults", json=fault))[0] == 200
    assert (await warehouse.call("GET", url))[0] == 500
    assert (await warehouse.call("GET", url))[0] == 200
