"""What a store sets for itself, in place of the service's settings."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from beanie import Document
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from typing_extensions import TypeAliasType

from models.limits import Policy
from models.wire import CAMEL_CASE
from settings.cart import (
    CheckoutMinutes,
    Currency,
    ExpiryDays,
    HoldMaxMinutes,
    HoldMinutes,
    Lines,
    Units,
    UnitsOfOne,
    Value,
)

ReservationPolicy = TypeAliasType("ReservationPolicy", Literal["cart", "checkout", "none"])
"""When units are reserved: as they come into a `cart`, at its `checkout`, or never (`none`)."""


MINUTE = 60


def _fraction(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value  # of a request's JSON


_Fraction = BeforeValidator(_fraction)


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
    hold_minutes: Annotated[HoldMinutes, _Fraction] | None = None
    """How long units are held after a change of their cart; 0 is as long as the cart."""
    hold_max_minutes: Annotated[HoldMaxMinutes, _Fraction] | None = None
    """The longest time after the first of a cart's holds; at least `holdMinutes`."""
    checkout_minutes: Annotated[CheckoutMinutes, _Fraction] | None = None
    """How long a cart is frozen by its checkout."""
    reservation_policy: ReservationPolicy | None = None
    """When units are reserved: as they come into a `cart`, at its `checkout`, or never (`none`)."""

    @classmethod
    def of(cls, policy: Policy) -> "StoreSettings":
        """All settings, as operations take them with them."""
        return cls(
            **policy.model_dump(include={*cls.model_fields}),
            hold_minutes=policy.hold_seconds / MINUTE,
            hold_max_minutes=policy.hold_max_seconds / MINUTE,
            checkout_minutes=policy.checkout_seconds / MINUTE,
            reservation_policy=_reservation_policy(policy),
        )

    def applied_to(self, usual: Policy) -> Policy:
        """The policy of a store that has these settings; `usual` is the service's."""
        fields = {*StoreSettings.model_fields} & {*Policy.model_fields}
        changed = self.model_dump(exclude_none=True, include=fields)
        if self.hold_minutes is not None:
            changed["hold_seconds"] = self.hold_minutes * MINUTE
        if self.checkout_minutes is not None:
            changed["checkout_seconds"] = self.checkout_minutes * MINUTE
        if self.hold_max_minutes is not None:
            changed["hold_max_seconds"] = self.hold_max_minutes * MINUTE
        if self.reservation_policy is not None:
            changed["reserve"] = self.reservation_policy == "cart"
            changed["reserve_at_checkout"] = self.reservation_policy == "checkout"
        return usual.model_copy(update=changed)


def _reservation_policy(policy: Policy) -> ReservationPolicy:
    if policy.reserve:
        return "cart"
    return "checkout" if policy.reserve_at_checkout else "none"


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
