"""Repair what has drifted about a cart."""

from datetime import datetime
from typing import ClassVar, Literal

from models.cart import CartContent
from models.drift import Drift, DriftKind
from models.operations.base import CartChange, CartOperation, ChangeContext


class RepairCart(CartOperation):
    """Look for drift in what is stored about a cart and, with `fix`, repair it; `reason` says why
    it was started.

    Effects that were pending at `stuck_before` are stuck. `drifts` is what the saga has found.
    """

    name: ClassVar[str] = "RepairCart"

    kind: Literal["repair_cart"] = "repair_cart"
    reason: str
    fix: bool
    stuck_before: datetime
    drifts: tuple[Drift, ...] = ()

    @property
    def summary(self) -> str:
        return f"{'Repair' if self.fix else 'Check'} the cart: {self.reason}"

    @property
    def changes_frozen_carts(self) -> bool:
        """It leaves the cart as it is."""
        return True

    def apply(self, cart: CartContent | None, context: ChangeContext) -> CartChange:
        """Releases what is held and not in the cart. The cart keeps its version: it does not
        change."""
        surplus = {
            drift.product_id: drift.found - drift.expected
            for drift in self.drifts
            if drift.kind is DriftKind.ORPHANED_HOLD and drift.product_id is not None
        }
        return context.confirmed(
            cart,
            cart.version if cart else 0,
            "Cart repaired",
            context.releases(surplus, "reconciled"),
            reason=self.reason,
            drifts=[drift.model_dump(mode="json") for drift in self.drifts],
        )
