"""The figures of the business: one document, made anew by the clock."""

from datetime import datetime

from beanie import Document
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from models.money import Money

BUSINESS = "business"
WINDOW_DAYS = 30


class EndedCarts(BaseModel):
    """How carts ended: an order took them, nobody came back, or their user cleared them."""

    ordered: int = 0
    expired: int = 0
    cleared: int = 0

    @property
    def total(self) -> int:
        """All that ended."""
        return self.ordered + self.expired + self.cleared


class BusinessFigures(Document):
    """What all carts come to at `at`, and how those of the last `window_days` ended.

    `items_total` (`cart.items.total`): units in all carts. `value_total` (`cart.value.total`): what
    they cost, by currency. `abandonment_rate` (`cart.abandonment.rate`) and `conversion_rate`
    (`cart.conversion.rate`): of the carts that ended, those that expired and those that became
    orders, in percent; None when none has ended. The rest was cleared by its users.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    id: str = Field(default=BUSINESS, alias="_id")  # type: ignore[assignment]
    at: datetime
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
    """In percent, with two digits."""
    return round(100 * part / whole, 2) if whole else None
