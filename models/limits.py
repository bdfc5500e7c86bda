"""How large a cart may grow, and what else is decided when an operation starts."""

from decimal import Decimal

from models.cart import Lifetime
from models.cart_facts import CartFacts
from models.message import Message
from models.outcomes import Refusal, RefusalCode

MAX_QUANTITY = 100
"""Most units of one product in one cart; `CART_MAX_QUANTITY` may allow fewer."""

LEAK_SECONDS = 7_200
"""How long after the longest hold the inventory keeps a reservation. Until then this service gives
it back; it can be late after an outage."""


class Policy(Message):
    """The settings that an operation takes with it, so that a running saga does not change them."""

    reserve: bool = True
    reserve_at_checkout: bool = False
    """Whether units are reserved at checkout although carts reserve nothing."""
    publish: bool = True
    cache: bool = True
    deadline_seconds: float = 30.0
    max_lines: int = 100
    max_bytes: int = 262_144
    """Of the cart's JSON text."""
    max_quantity: int = 100
    max_units: int = 0
    """Of all products; 0 is no limit."""
    max_value: int = 0
    """In the cart's currency; 0 is no limit."""
    expiry_days: int = 30
    hold_seconds: float = 0
    """How long units are held after a change of their cart; 0 is as long as the cart."""
    hold_max_seconds: float = 14_400
    """The longest time after the first of a cart's holds."""
    checkout_seconds: float = 900
    """How long a cart stays checked out."""
    abandon_seconds: float = 0
    """How long after a change by its user a cart counts as abandoned; 0 is never."""
    currency: str = "USD"

    @property
    def at_checkout(self) -> "Policy":
        """The policy of a checkout, and of what is ordered."""
        return self.model_copy(update={"reserve": self.reserve or self.reserve_at_checkout})

    @property
    def lifetime(self) -> Lifetime:
        """How long the cart and its holds last."""
        return Lifetime(self.expiry_days, self.hold_seconds, self.hold_max_seconds)

    @property
    def reserved_seconds(self) -> int | None:
        """After this time the inventory may end a reservation by itself: no cart has it any more.
        None if carts hold their units as long as they exist."""
        if not self.hold_seconds:
            return None
        return round(self.hold_max_seconds + self.checkout_seconds) + LEAK_SECONDS


def same_currency(policy: Policy, cart: CartFacts) -> Refusal | None:
    """Why nothing can be added in the policy's currency: the cart has lines in another one.

    There is one total, and it has one currency. An empty cart takes the currency of the next add.
    """
    if cart.lines and cart.currency != policy.currency:
        return Refusal(
            code=RefusalCode.CURRENCY_MISMATCH,
            cart_currency=cart.currency,
            currency=policy.currency,
        )
    return None


def room_in_bytes(policy: Policy, size: int) -> Refusal | None:
    """Why a cart cannot grow to a JSON text of this size; None when it can."""
    if size > policy.max_bytes:
        return Refusal(code=RefusalCode.SIZE_LIMIT, current=size, limit=policy.max_bytes)
    return None


def room_for(policy: Policy, cart: CartFacts, *, units: int, price: Decimal) -> Refusal | None:
    """Why the operation's product cannot have `units` units at this price; None when it can.

    Ask only for what makes a cart grow: a cart over a limit may always shrink.
    """
    if units > policy.max_quantity:
        return Refusal(
            code=RefusalCode.QUANTITY_LIMIT, current=cart.line_quantity, limit=policy.max_quantity
        )
    if cart.line_quantity == 0 and cart.lines >= policy.max_lines:
        return Refusal(code=RefusalCode.LINE_LIMIT, current=cart.lines, limit=policy.max_lines)
    if policy.max_units and cart.units - cart.line_quantity + units > policy.max_units:
        return Refusal(code=RefusalCode.UNIT_LIMIT, current=cart.units, limit=policy.max_units)
    others = cart.total_price - cart.line_price * cart.line_quantity
    if policy.max_value and others + price * units > policy.max_value:
        return Refusal(code=RefusalCode.VALUE_LIMIT, limit=policy.max_value)
    return None
