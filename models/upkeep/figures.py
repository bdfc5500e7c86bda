"""Business figures: one document, which a schedule replaces, and the parts that it is added up of.

A run measures only the parts that are due, so its cost does not grow with the number of carts.
"""

from datetime import datetime

from beanie import Document
from pydantic import BaseModel, Field

from models.money import Money
from models.wire import CAMEL_CASE

BUSINESS = "business"
WINDOW_DAYS = 30


class EndedCarts(BaseModel):
    """Ended carts by how they ended: by an order, by expiry, or cleared by the user."""

    ordered: int = 0
    expired: int = 0
    cleared: int = 0

    @property
    def total(self) -> int:
        """The number of ended carts."""
        return self.ordered + self.expired + self.cleared


class BucketFigures(Document):
    """The carts of a bucket (`models.documents.bucket_of`), as they were at `at`."""

    model_config = CAMEL_CASE

    id: int = Field(alias="_id")  # type: ignore[assignment]
    at: datetime
    carts: int = 0
    items: int = 0
    value: dict[str, Money] = {}

    class Settings:
        name = "cartFigures"


class EndedInHour(Document):
    """The carts that ended in the hour that began at `id`, as far as was known at `at`."""

    model_config = CAMEL_CASE

    id: datetime = Field(alias="_id")  # type: ignore[assignment]
    at: datetime
    ended: EndedCarts

    class Settings:
        name = "endedCarts"


class BusinessFigures(Document):
    """The totals of all carts at `at`, and how the carts of the last `window_days` ended.

    `items_total` (`cart.items.total`) counts units. `value_total` (`cart.value.total`) is currency
    -> price of all units. `abandonment_rate` (`cart.abandonment.rate`) and `conversion_rate`
    (`cart.conversion.rate`) are the expired and the ordered carts in percent of the ended ones;
    None when none ended. `carts_since` is when the carts of the bucket were counted whose turn is
    next.
    """

    model_config = CAMEL_CASE

    id: str = Field(default=BUSINESS, alias="_id")  # type: ignore[assignment]
    at: datetime
    carts_since: datetime
    window_days: int = WINDOW_DAYS
    carts: int
    items_total: int
    value_total: dict[str, Money]
    ended: EndedCarts
    abandonment_rate: float | None
    conversion_rate: float | None

    class Settings:
        name = "figures"


def rate(part: int, whole: int) -> float | None:
    """`part` of `whole` in percent, with two digits; None of 0."""
    return round(100 * part / whole, 2) if whole else None
