"""The operations on a cart, one class each. A new operation is a class here and a workflow."""

from typing import Annotated, get_args

from pydantic import Field

from models.operations.abandon_cart import AbandonCart
from models.operations.add_item import AddItem
from models.operations.apply_batch import ApplyBatch
from models.operations.apply_order import ApplyOrder
from models.operations.base import CartChange, CartOperation, ChangeContext
from models.operations.cancel_checkout import CancelCheckout
from models.operations.cancel_order import CancelOrder
from models.operations.checkout import Checkout
from models.operations.clear_cart import ClearCart
from models.operations.extend_holds import ExtendHolds
from models.operations.lapse_holds import LapseHolds
from models.operations.mark_availability import MarkAvailability
from models.operations.merge_cart import MergeCart
from models.operations.remove_item import RemoveItem
from models.operations.repair_cart import RepairCart
from models.operations.update_quantity import UpdateQuantity

AnyOperation = Annotated[
    AddItem
    | UpdateQuantity
    | RemoveItem
    | ClearCart
    | ApplyBatch
    | ExtendHolds
    | LapseHolds
    | Checkout
    | CancelCheckout
    | CancelOrder
    | AbandonCart
    | ApplyOrder
    | MergeCart
    | MarkAvailability
    | RepairCart,
    Field(discriminator="kind"),
]

OPERATIONS: tuple[type[CartOperation], ...] = get_args(get_args(AnyOperation)[0])

__all__ = [
    "OPERATIONS",
    "AbandonCart",
    "AddItem",
    "AnyOperation",
    "ApplyBatch",
    "ApplyOrder",
    "CancelCheckout",
    "CancelOrder",
    "CartChange",
    "CartOperation",
    "ChangeContext",
    "Checkout",
    "ClearCart",
    "ExtendHolds",
    "LapseHolds",
    "MarkAvailability",
    "MergeCart",
    "RemoveItem",
    "RepairCart",
    "UpdateQuantity",
]
