"""What a cart must be like for an operation on it; each raises `Refused`."""

from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.limits import CartSize, room_for
    from models.messages import Policy, Refusal
    from models.steps import LoadedCart
    from workflows.saga import Refused


def require_cart(cart: LoadedCart, cart_id: str) -> None:
    """The cart is this one."""
    if cart.cart_id != cart_id:
        raise Refused(Refusal(code="cart_not_found"))


def require_line(cart: LoadedCart, cart_id: str) -> None:
    """The cart is this one, and has the product that was asked for."""
    require_cart(cart, cart_id)
    if cart.line_quantity == 0:
        raise Refused(Refusal(code="item_not_found"))


def require_room(cart: LoadedCart, policy: Policy, *, units: int, price: Decimal) -> None:
    """The product may have so many units in the cart. The pivot checks it again, for good."""
    size = CartSize(
        lines=cart.line_count,
        units=cart.quantity,
        worth=cart.total_price,
        line_units=cart.line_quantity,
        line_worth=cart.line_price * cart.line_quantity,
    )
    refusal = room_for(policy, size, units=units, price=price)
    if refusal is not None:
        raise Refused(refusal)
