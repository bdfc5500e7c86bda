"""Buys with the client of openapi-python-client."""

import os
import time
from http import HTTPStatus

from cart_client import AuthenticatedClient
from cart_client.api.admin import list_carts
from cart_client.api.cart import add_item, clear_cart, get_cart
from cart_client.api.carts import remove_item, update_quantity
from cart_client.api.operations import get_operation
from cart_client.models import (
    Accepted,
    AddItemRequest,
    Cart,
    CartList,
    ErrorCode,
    ItemRemoved,
    Message,
    OperationAnswer,
    OperationStatus,
    OperationStatusStatus,
    Problem,
    RemoveItemRequest,
    UpdateQuantityRequest,
)
from httpx import Timeout

STORE, URL = os.environ["CART_STORE"], os.environ["CART_URL"]
STRICT = "handling=strict"
client = AuthenticatedClient(base_url=URL, token=os.environ["CART_TOKEN"], timeout=Timeout(30))
admin = AuthenticatedClient(base_url=URL, token=os.environ["CART_ADMIN_TOKEN"])


def item(product: str, quantity: int) -> AddItemRequest:
    return AddItemRequest(
        product_id=product,
        product_title="Wireless Headphones",
        product_price=79.99,
        product_image=["https://example.com/image.jpg"],
        quantity=quantity,
    )


added = add_item.sync_detailed(STORE, client=client, body=item("headphones", 2), prefer=STRICT)
assert added.status_code == HTTPStatus.CREATED, added
cart = added.parsed
assert isinstance(cart, Cart)
assert (cart.total_price, cart.cart_items[0].price_source.value) == (159.98, "client")

problem = add_item.sync(STORE, client=client, body=item("headphones", 50), prefer=STRICT)
assert isinstance(problem, Problem)
assert (problem.code, problem.available) == (ErrorCode.INSUFFICIENT_STOCK, 8)
lenient = add_item.sync(STORE, client=client, body=item("headphones", 101))
assert isinstance(lenient, Problem)
assert lenient.code is ErrorCode.VALIDATION_FAILED

change = UpdateQuantityRequest(product_id="headphones", quantity=5)
updated = update_quantity.sync(cart.field_id, client=client, body=change)
assert isinstance(updated, Cart)
assert updated.total_price == 399.95

listed = list_carts.sync(STORE, client=admin, limit=10)
assert isinstance(listed, CartList)
assert listed.data.total_count == 1

accepted = add_item.sync(STORE, client=client, body=item("lamp", 1), prefer=STRICT)
assert isinstance(accepted, Accepted)
operation_id = accepted.operation_id


def status() -> OperationStatus:
    found = get_operation.sync(STORE, operation_id, client=client)
    assert isinstance(found, OperationStatus)
    return found


ended = status()
for _ in range(60):
    if ended.status is not OperationStatusStatus.PENDING:
        break
    time.sleep(0.5)
    ended = status()
assert ended.status is OperationStatusStatus.COMMITTED
assert isinstance(ended.answer, OperationAnswer)
assert ended.answer.status == HTTPStatus.CREATED

what = RemoveItemRequest(product_id="headphones")
removed = remove_item.sync(cart.field_id, client=client, body=what)
assert isinstance(removed, ItemRemoved)
assert removed.cart.quantity == 1

cleared = clear_cart.sync(STORE, client=client)
assert isinstance(cleared, Message)
missing = get_cart.sync(STORE, client=client)
assert isinstance(missing, Problem)
assert missing.code is ErrorCode.CART_NOT_FOUND
print("done")
