"""What a store sets for itself, in place of the service's settings."""

from datetime import datetime
from typing import Literal

from beanie import Document
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from models.limits import Policy
from models.wire import CAMEL_CASE
from settings.cart import Currency, ExpiryDays, Lines, Units, UnitsOfOne, Value

ReservationPolicy = TypeAliasType("ReservationPolicy", Literal["cart", "none"])
"""When units are reserved: `cart` when they come into a cart, `none` never."""


class StoreSettings(BaseModel):
    """What a store sets for itself. A field that is absent is as the service has it."""

    model_config = ConfigDict(
        **CAMEL_CASE,
        frozen=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [{"currency": "EUR", "maxUnits": 50, "reservationPolicy": "cart"}]
        },
    )

    currency: Currency | None = None
    """The currency of what is added (ISO 4217). A cart with items in another one refuses adds."""
    max_lines: Lines | None = None
    """The most products in a cart."""
    max_quantity: UnitsOfOne | None = None
    """The most units of one product in a cart."""
    max_units: Units | None = None
    """The most units in a cart; 0 is no limit."""
    max_value: Value | None = None
    """The largest total of a cart, in its currency; 0 is no limit."""
    expiry_days: ExpiryDays | None = None
    """The days after its last change when a cart expires."""
    reservation_policy: ReservationPolicy | None = None
    """When units are reserved: `cart` when they come into a cart, `none` never."""

    @classmethod
    def of(cls, policy: Policy) -> "StoreSettings":
        """All settings, as operations take them with them."""
        return cls(
            **policy.model_dump(include={*cls.model_fields}),
            reservation_policy="cart" if policy.reserve else "none",
        )

    def applied_to(self, usual: Policy) -> Policy:
        """The policy of a store that has these settings; `usual` is the service's."""
        changed = self.model_dump(exclude_none=True, exclude={"reservation_policy"})
        if self.reservation_policy is not None:
            changed["reserve"] = self.reservation_policy == "cart"
        return usual.model_copy(update=changed)


class StoredSettings(Document):
    """The settings of a store. `version` counts their changes, and `by` made the latest one."""

    model_config = CAMEL_CASE

    id: str = Field(alias="_id")  # type: ignore[assignment]
    settings: StoreSettings
    version: int
    by: str
    at: datetime

    class Settings:
        name = "storeSettings"
