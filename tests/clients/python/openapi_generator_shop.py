"""Buys with the Python client of OpenAPI Generator."""

import os
import time

from cart_client import (
    AddItemRequest,
    AdminApi,
    ApiClient,
    ApiException,
    CartApi,
    CartsApi,
    Configuration,
    ErrorCode,
    OperationsApi,
    Problem,
    UpdateQuantityRequest,
)

STORE, URL = os.environ["CART_STORE"], os.environ["CART_URL"]
STRICT = "handling=strict"
client = ApiClient(Configuration(host=URL, access_token=os.environ["CART_TOKEN"]))
admin = ApiClient(Configuration(host=URL, access_token=os.environ["CART_ADMIN_TOKEN"]))
carts, by_id, operations = CartApi(client), CartsApi(client), OperationsApi(client)


def item(product: str, quantity: int) -> AddItemRequest:
    return AddItemRequest(
        productId=product,
        productTitle="Wireless Headphones",
        productPrice=79.99,
        productImage=["https://example.com/image.jpg"],
        quantity=quantity,
    )


def problem_of(error: ApiException, status: int) -> Problem:
    assert error.status == status, error
    problem = Problem.from_json(error.body or "")
    assert problem is not None
    return problem


cart = carts.add_item(STORE, item("headphones", 2), prefer=STRICT)
assert (cart.total_price, cart.cart_items[0].price_source.value) == (159.98, "client")

try:
    carts.add_item(STORE, item("headphones", 50), prefer=STRICT)
    raise AssertionError("not refused")
except ApiException as error:
    problem = problem_of(error, 409)
    assert (problem.code, problem.available) == (ErrorCode.INSUFFICIENT_STOCK, 8)

change = UpdateQuantityRequest(productId="headphones", quantity=5)
assert by_id.update_quantity(cart.id, change).total_price == 399.95
assert AdminApi(admin).list_carts(STORE, limit=10).data.total_count == 1

accepted = carts.add_item_with_http_info(STORE, item("lamp", 1), prefer=STRICT)
assert accepted.status_code == 202, accepted
location = (accepted.headers or {})["location"]
for _ in range(60):
    ended = operations.get_operation(STORE, location.rpartition("/")[2])
    if ended.status != "pending":
        break
    time.sleep(0.5)
assert ended.status == "committed", ended
assert ended.answer is not None
assert ended.answer.status == 201

assert by_id.remove_item_by_path(cart.id, "headphones").cart.quantity == 1
assert carts.clear_cart(STORE).message == "Cart cleared"
try:
    carts.get_cart(STORE)
    raise AssertionError("not refused")
except ApiException as error:
    assert problem_of(error, 404).code is ErrorCode.CART_NOT_FOUND
print("done")
