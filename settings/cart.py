"""Settings of carts and their sagas: times, limits, feature flags."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from settings.base import Seconds, SettingsGroup

MOST_LINES = 100
MOST_UNITS_OF_ONE = 100
MOST_UNITS = 10_000
MOST_VALUE = 10_000_000_000
MOST_EXPIRY_DAYS = 3650
MOST_HOLD_MINUTES = 43_200
MOST_CHECKOUT_MINUTES = 1_440
CURRENCY_LETTERS = 3

# What a store may also set for itself (`models.store_settings`).
Lines = Annotated[int, Field(ge=1, le=MOST_LINES)]
UnitsOfOne = Annotated[int, Field(ge=1, le=MOST_UNITS_OF_ONE)]
Units = Annotated[int, Field(ge=0, le=MOST_UNITS)]
Value = Annotated[int, Field(ge=0, le=MOST_VALUE)]
ExpiryDays = Annotated[int, Field(ge=1, le=MOST_EXPIRY_DAYS)]
HoldMinutes = Annotated[float, Field(ge=0, le=MOST_HOLD_MINUTES)]
HoldMaxMinutes = Annotated[float, Field(gt=0, le=MOST_HOLD_MINUTES)]
CheckoutMinutes = Annotated[float, Field(gt=0, le=MOST_CHECKOUT_MINUTES)]
Currency = Annotated[str, Field(pattern=rf"^[A-Z]{{{CURRENCY_LETTERS}}}$")]


class CartSettings(SettingsGroup):
    """What a cart may hold, how long its sagas wait, and which effects are on."""

    # Cache
    cart_cache_ttl: int = Field(60, ge=1, le=86_400)
    inventory_cache_ttl: int = Field(60, ge=1, le=86_400)

    # Sagas
    lock_ttl: Seconds = 30
    cart_lock_wait_seconds: Seconds = 5
    operation_wait_seconds: Seconds = 10
    answer_fallback_ms: int = Field(150, ge=0, le=60_000)
    publish_timeout_seconds: Seconds = 1
    relay_shards: int = Field(16, ge=1, le=128)  # at most `models.documents.BUCKETS`
    relay_grace_seconds: float = Field(3, ge=0, le=60)
    orphan_release_seconds: float = Field(30, ge=1, le=86_400)
    reconcile_repairs: bool = False

    # Cart
    cart_expiry_days: ExpiryDays = 30
    abandoned_after_minutes: float = Field(0, ge=0, le=525_600)
    cart_max_lines: Lines = 100
    cart_max_bytes: int = Field(262_144, ge=4096, le=4_194_304)
    cart_max_quantity: UnitsOfOne = 100
    cart_max_units: Units = 1000
    cart_max_value: Value = 0
    hold_minutes: HoldMinutes = 0
    hold_max_minutes: HoldMaxMinutes = 240
    checkout_minutes: CheckoutMinutes = 15
    currency: Currency = "USD"

    # Feature flags
    enable_inventory_reservation: bool = True
    enable_event_publishing: bool = True
    enable_cache_invalidation: bool = True

    def broken_rules(self) -> Iterator[str]:
        if self.hold_minutes > self.hold_max_minutes:
            yield "HOLD_MINUTES, HOLD_MAX_MINUTES: the first must not be more than the second"
        yield from super().broken_rules()
