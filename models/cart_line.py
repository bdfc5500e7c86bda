"""A line of a cart, and how it changes. Plain data, without storage."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Self

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import TypeAliasType

from models.message import Message
from models.money import Money, PriceSource, cents
from models.wire import CAMEL_CASE, SENT, Absent

AvailabilityStatus = TypeAliasType(
    "AvailabilityStatus", Literal["available", "out_of_stock", "hold_expired"]
)

StockStatus = Literal["available", "out_of_stock"]


class ProductAvailability(Message):
    """A product's stock status since `at`, the time of the event that reported it."""

    product_id: str
    status: StockStatus
    reason: str | None = None
    at: datetime


class PriceChange(BaseModel):
    """Two prices of one unit: what a line had, and what it has now."""

    model_config = SENT

    before: Money = Field(alias="from")
    after: Money = Field(alias="to")


class CartLine(BaseModel):
    """One product in a cart."""

    model_config = SENT

    product_id: str
    product_title: str
    product_image: list[str] = []
    """The URLs of its images."""
    product_price: Money
    """The price of one unit."""
    price_source: PriceSource = "client"
    """`client`: the price is what the client sent with the latest add; nothing has checked it.
    `product_service`: it is the product service's."""
    price_changed: PriceChange | None = Absent
    """What the price was when it was looked up before, if it was another one."""
    product_quantity: int
    """Its units in the cart."""
    units_held: SkipJsonSchema[int | None] = None
    """Its units that are held at the inventory; None: all of them."""
    product_description: str | None = None
    seller_id: str | None = None
    availability_status: AvailabilityStatus = "available"
    unavailability_reason: str | None = None
    """Why it is out of stock."""
    availability_at: SkipJsonSchema[datetime | None] = None
    reserved_at: datetime
    """When units of it were reserved last."""
    hold_until: datetime | None = Absent
    """When its units are no longer held, unless the cart is changed or extended before. Absent when
    they are held as long as the cart, or not held."""
    lapsed_at: SkipJsonSchema[datetime | None] = None
    """When its hold has ended, since its units were reserved last."""

    def marked(self, availability: ProductAvailability) -> Self:
        """The line with a new availability, or the line itself when it has a later one.

        Events of different topics arrive in any order, so the latest by its own time wins. A
        reservation that was made later proves that the product was available.
        """
        if availability.at <= max(self.reserved_at, self.availability_at or self.reserved_at):
            return self
        out_of_stock = availability.status == "out_of_stock"
        lapsed = self.lapsed_at is not None and not out_of_stock
        return self.model_copy(
            update={
                "availability_status": "hold_expired" if lapsed else availability.status,
                "unavailability_reason": availability.reason if out_of_stock else None,
                "availability_at": availability.at,
            }
        )

    def with_quantity(self, quantity: int, held: int, now: datetime) -> Self:
        """The line with another quantity, of which `held` units are held.

        More held units were reserved now, so they are available.
        """
        changed: dict[str, Any] = {
            "product_quantity": quantity,
            "units_held": held if held < quantity else None,
        }
        if held > self.held:
            changed |= {
                "reserved_at": now,
                "availability_status": "available",
                "unavailability_reason": None,
                "availability_at": None,
                "lapsed_at": None,
            }
        return self.model_copy(update=changed)

    def lapsed(self, now: datetime) -> Self:
        """The line without its hold, which has ended."""
        changed: dict[str, Any] = {"units_held": 0, "hold_until": None, "lapsed_at": now}
        if self.availability_status == "available":
            changed["availability_status"] = "hold_expired"
        return self.model_copy(update=changed)

    def held_until(self, end: datetime | None) -> Self:
        """The line whose hold, if it has one, ends then."""
        end = end if self.held else None
        return self if end == self.hold_until else self.model_copy(update={"hold_until": end})

    def priced(self, price: Decimal) -> Self:
        """The line with the product service's price; it says so if that has changed."""
        return self.model_copy(
            update={
                "product_price": price,
                "price_source": "product_service",
                "price_changed": price_change(self, price),
            }
        )

    @property
    def held(self) -> int:
        """Its units that are held at the inventory."""
        return self.product_quantity if self.units_held is None else self.units_held

    @property
    def total(self) -> Decimal:
        """Price times quantity, in the cart's currency."""
        return cents(self.product_price * self.product_quantity)


def price_change(earlier: CartLine | None, price: Decimal) -> PriceChange | None:
    """How the price of a line changes when it is looked up again; None when it does not."""
    if earlier is None or earlier.product_price == price:
        return None
    return PriceChange.model_validate({"from": earlier.product_price, "to": price})


class LineChange(BaseModel):
    """What an operation did to the line of a product.

    `before` are its units, 0 without a line, and `moved` how many came in or (negative) left.
    `price` is that of one unit, after the change or, of a line that is gone, before it.
    `availability` is set when it has changed.
    """

    model_config = CAMEL_CASE

    product_id: str
    before: int
    moved: int
    price: Money
    availability: AvailabilityStatus | None = None

    @property
    def after(self) -> int:
        """Its units after the change."""
        return self.before + self.moved
