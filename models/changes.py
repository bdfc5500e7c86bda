"""What a change does: the next cart, the events to publish, the holds to give back, the status.

Pure: the pivot (`adapters.carts`) loads, calls `apply_change`, and stores all of it in one
transaction.
"""

from dataclasses import dataclass
from http import HTTPStatus

from beanie import PydanticObjectId

from models.cart import CartContent, empty_cart
from models.events import CART_ITEM_ADDED, CartItemAdded, event_effect, event_id
from models.messages import AddLine, AnyEffect, SagaRun
from models.wire import to_json, to_milliseconds


@dataclass(frozen=True)
class Changed:
    """`cart` is the next version; `effects` are in the order in which they must happen."""

    cart: CartContent
    effects: tuple[AnyEffect, ...]
    status: HTTPStatus


def cart_json(cart_id: PydanticObjectId, cart: CartContent) -> bytes:
    """The cart as clients see it (`CartView`), as JSON text."""
    return to_json({"_id": cart_id, **cart.model_dump(by_alias=True, exclude={"id", "email"})})


def apply_change(
    change: AddLine, cart: CartContent | None, cart_id: PydanticObjectId, run: SagaRun
) -> Changed:
    """Applies a change to the cart of a run (None: there is none yet)."""
    request = change.request
    now = to_milliseconds(run.started_at)
    after = (cart or empty_cart(request, now)).with_added(request, now)
    line = after.line(request.product_id)
    assert line is not None  # noqa: S101 (it was just added)
    event = CartItemAdded(
        event_id=event_id(run.run_id, 0),
        cart_id=str(cart_id),
        user_id=run.user_id,
        store_id=run.store_id,
        saga_id=run.saga_id,
        version=after.version,
        currency=after.currency,
        timestamp=now,
        product_id=request.product_id,
        quantity=request.quantity,
        line_quantity=line.product_quantity,
        product_price=line.product_price,
        total_price=after.total_price,
    )
    effects = (event_effect(CART_ITEM_ADDED, event),) if request.policy.publish else ()
    return Changed(after, effects, HTTPStatus.CREATED)
