"""A shop changes its currency while carts are filled: no total mixes two currencies.

A process with the new `CURRENCY` starts operations whose policy has it, as here.
"""

from decimal import Decimal
from uuid import uuid4

from models.cart import CartKey
from models.operations import AddItem
from models.outcomes import OperationResult, Outcome, Refusal
from tests.support.actors import SHOPPER
from tests.support.shop import Buyer, Shop
from workflows import ids
from workflows.gateway import CartGateway
from workflows.requests import operation_fields, policy_of


async def add_in_euros(buyer: Buyer, product: str) -> OperationResult:
    world = buyer.shop.world
    settings = world.settings
    gateway = CartGateway(
        world.temporal, task_queue=settings.temporal_task_queue, lock_wait_seconds=5
    )
    key = CartKey(buyer.shop.store_id, buyer.user_id)
    fields = operation_fields(
        AddItem,
        key,
        operation_id=ids.operation_id(*key, uuid4().hex),
        requested={"productId": product},
        actor=SHOPPER,
        policy=policy_of(settings).model_copy(update={"currency": "EUR"}),
    )
    return await gateway.carry_out(
        AddItem(
            **fields,
            product_id=product,
            product_title="In euros",
            product_price=Decimal("100.00"),
            quantity=1,
        )
    )


async def test_a_cart_with_items_refuses_another_currency(shop: Shop) -> None:
    await shop.stock("lamp", 5)
    await shop.stock("cable", 5)
    buyer = shop.buyer()
    await buyer.add("lamp", 1, productPrice=100)
    refused = await add_in_euros(buyer, "cable")
    assert refused.outcome is Outcome.REJECTED
    assert refused.refusal == Refusal(code="currency_mismatch", cart_currency="USD", currency="EUR")
    cart = (await buyer.get()).json()
    assert (cart["currency"], cart["totalPrice"], cart["version"]) == ("USD", 100, 1)
    assert await shop.units("cable") == (5, 0, 0)


async def test_an_empty_cart_takes_the_new_currency(shop: Shop) -> None:
    await shop.stock("lamp", 5)
    buyer = shop.buyer()
    cart_id = (await buyer.add("lamp", 1)).json()["_id"]
    await buyer.remove(cart_id, "lamp")
    added = await add_in_euros(buyer, "lamp")
    assert added.outcome is Outcome.COMMITTED
    cart = (await buyer.get()).json()
    assert (cart["_id"], cart["currency"], cart["totalPrice"]) == (cart_id, "EUR", 100)
