"""A cart that is checked out: it is frozen until it is ordered, cancelled, or its time is over."""

from datetime import datetime

from pydantic import BaseModel
from pydantic.json_schema import SkipJsonSchema

from models.wire import SENT


class CartCheckout(BaseModel):
    """The checkout of a frozen cart."""

    model_config = SENT

    checkout_id: str
    """Identifies the checkout; an order names it."""
    expires_at: datetime
    """When the cart can be changed again, unless it was ordered before."""
    keeps_holds: SkipJsonSchema[bool] = True
    """Whether its units stay held when it ends without an order."""
