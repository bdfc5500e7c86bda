"""Whether a cart, as it was loaded, allows an operation: why it does not, or None."""

from decimal import Decimal

from models.cart import matches
from models.limits import CartSize, room_for
from models.messages import CartOperation, Policy, Refusal, UpdateQuantityInput
from models.steps import LoadedCart


def refusal_of_cart(cart: LoadedCart, cart_id: str) -> Refusal | None:
    """The cart must be this one."""
    return None if cart.cart_id == cart_id else Refusal(code="cart_not_found")


def refusal_of_tags(cart: LoadedCart, request: CartOperation) -> Refusal | None:
    """The cart must have one of the entity tags that the caller knows it by, if it says any."""
    tags = request.if_match
    if tags is None or matches(tags, cart.cart_id, cart.version):
        return None
    return Refusal(code="precondition_failed")


def refusal_of_room(
    cart: LoadedCart, policy: Policy, *, units: int, price: Decimal
) -> Refusal | None:
    """The product may have so many units in the cart. The pivot checks it again, for good."""
    size = CartSize(
        lines=cart.line_count,
        units=cart.quantity,
        worth=cart.total_price,
        line_units=cart.line_quantity,
        line_worth=cart.line_price * cart.line_quantity,
    )
    return room_for(policy, size, units=units, price=price)


def refusal_of_update(cart: LoadedCart, request: UpdateQuantityInput) -> Refusal | None:
    """The cart must have the product, and room for what is more of it."""
    refusal = refusal_of_cart(cart, request.cart_id)
    if refusal is None and cart.line_quantity == 0:
        return Refusal(code="item_not_found")
    if refusal is None and request.quantity > cart.line_quantity:
        return refusal_of_room(cart, request.policy, units=request.quantity, price=cart.line_price)
    return refusal


def units_to_reserve(cart: LoadedCart, request: UpdateQuantityInput) -> int:
    """How many units an update needs more; 0 for one that is answered already, or refused."""
    if not request.policy.reserve or cart.record is not None:
        return 0
    if refusal_of_tags(cart, request) or refusal_of_update(cart, request):
        return 0
    return max(request.quantity - cart.line_quantity, 0)
