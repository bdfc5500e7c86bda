"""What a cart must be like for an operation on it; each raises `Refused`."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from models.messages import LoadedCart, Refusal
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
