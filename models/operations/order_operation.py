"""What the operations on an order have in common."""

from collections.abc import Mapping

from models.operations.base import CartOperation
from models.orders import CancelRequest, OrderRequest


class OrderOperation(CartOperation):
    """An operation on the order that `request` describes. Its cart may be gone, or checked out for
    it."""

    request: OrderRequest | CancelRequest

    @property
    def references(self) -> Mapping[str, str | None]:
        return {"cart": self.request.cart_id, "order": self.request.order_id}

    @property
    def changes_frozen_carts(self) -> bool:
        """The order is what the checkout was for."""
        return True

    @property
    def recorded_cart_id(self) -> str:
        """The ordered cart, also when the user has another one by now."""
        return self.request.cart_id
