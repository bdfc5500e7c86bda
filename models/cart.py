"""The cart: what it holds and how it changes. Plain data, without storage.

`models.documents.Cart` is the same as a Beanie document.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, Self

from beanie import PydanticObjectId
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from models.cart_line import (
    CartLine,
    LineChange,
    ProductAvailability,
)
from models.checkout import CartCheckout
from models.money import Money, cents
from models.wire import SENT, Absent, to_json, to_milliseconds


class CartKey(NamedTuple):
    """Identifies a cart: there is one for each user of a store."""

    store_id: str
    user_id: str


class CartVersion(NamedTuple):
    """Identifies one version of one cart: after a clear, the next cart has another id."""

    cart_id: str
    version: int


class Lifetime(NamedTuple):
    """How long a cart lives after its last change, and how long its units are held.

    Holds end `hold_seconds` after the last change, and at most `hold_max_seconds` after the first
    of them; with `hold_seconds` 0 not before the cart.
    """

    expiry_days: int
    hold_seconds: float = 0
    hold_max_seconds: float = 0

    def holds_end(self, since: datetime, now: datetime) -> datetime | None:
        """When holds that began at `since` end, if the last change is now."""
        if not self.hold_seconds:
            return None
        end = min(
            now + timedelta(seconds=self.hold_seconds),
            since + timedelta(seconds=self.hold_max_seconds),
        )
        return to_milliseconds(end)


class CartContent(BaseModel):
    """A cart without its id."""

    model_config = SENT

    user_id: str
    store_id: str
    seller_id: str | None = None
    """The seller that all items have in common."""
    full_name: str | None = None
    email: str | None = None
    quantity: int = 0
    """The units of all items."""
    total_price: Money = Decimal(0)
    """The sum of price times quantity of all items."""
    currency: str
    """The currency of all amounts in the cart (ISO 4217)."""
    cart_items: list[CartLine] = []
    expire_at: datetime
    """When the cart expires, unless it is changed before."""
    holds_end: SkipJsonSchema[datetime | None] = None
    """When the holds of its lines end; None if never, or if it has none."""
    held_since: SkipJsonSchema[datetime | None] = None
    """When the first of the holds that it has began, where holds end."""
    checkout: CartCheckout | None = Absent
    """The checkout, while the cart is frozen."""
    abandon_at: SkipJsonSchema[datetime | None] = None
    """When it counts as abandoned, unless its user changes it before (`models.abandonment`)."""
    abandoned_at: SkipJsonSchema[datetime | None] = None
    """Since when it is abandoned; None after the next change by its user."""
    version: int = 0
    """Counts the changes of the cart, from 1."""
    created_at: datetime
    updated_at: datetime

    @classmethod
    def empty(cls, key: CartKey, currency: str, now: datetime) -> "CartContent":
        """A cart before its first change. It is never stored like this."""
        return CartContent(
            user_id=key.user_id,
            store_id=key.store_id,
            currency=currency,
            created_at=now,
            updated_at=now,
            expire_at=now,
        )

    @property
    def key(self) -> CartKey:
        return CartKey(self.store_id, self.user_id)

    @property
    def units(self) -> dict[str, int]:
        """Product id -> units."""
        return {line.product_id: line.product_quantity for line in self.cart_items}

    @property
    def held_units(self) -> dict[str, int]:
        """Product id -> units that are held at the inventory, of the products that have some."""
        return {line.product_id: line.held for line in self.cart_items if line.held}

    def line(self, product_id: str) -> CartLine | None:
        """The line of a product, or None."""
        return next((line for line in self.cart_items if line.product_id == product_id), None)

    def with_line(
        self, line: CartLine, now: datetime, lifetime: Lifetime, **changed: object
    ) -> Self:
        """The next version of the cart with this line, in the place of the product's line so far
        or at the end; `changed` are other fields that change with it."""
        others = self.cart_items
        if self.line(line.product_id) is None:
            lines = [*others, line]
        else:
            lines = [line if one.product_id == line.product_id else one for one in others]
        return self._next(lines, now, lifetime, **changed)

    def with_lines(
        self,
        lines: Mapping[str, CartLine | None],
        now: datetime,
        lifetime: Lifetime,
        **changed: object,
    ) -> Self:
        """The next version of the cart with these lines of products, as `with_line`; a product with
        None has none any more."""
        others = {line.product_id: line for line in self.cart_items}
        found = [line for line in {**others, **lines}.values() if line is not None]
        return self._next(found, now, lifetime, **changed)

    def with_all_held(self, now: datetime, lifetime: Lifetime) -> Self:
        """The next version of the cart, all of whose units are held."""
        lines = [
            line.with_quantity(line.product_quantity, line.product_quantity, now)
            for line in self.cart_items
        ]
        return self._next(lines, now, lifetime)

    def frozen(
        self, checkout: CartCheckout, now: datetime, lifetime: Lifetime, *, is_held: bool
    ) -> Self:
        """The next version of the cart, which is checked out. With `is_held` all its units are
        held; holds last as long as the checkout."""
        before = self.with_all_held(now, lifetime) if is_held else self
        after = self._next(before.cart_items, now, lifetime, checkout=checkout)
        if after.holds_end is None:
            return after
        lines = [line.held_until(checkout.expires_at) for line in after.cart_items]
        return after.model_copy(update={"cart_items": lines, "holds_end": None})

    def thawed(self, now: datetime, lifetime: Lifetime) -> Self:
        """The next version of the cart, which is checked out no more."""
        lines = [
            line.with_quantity(line.product_quantity, line.held - gone, now)
            if (gone := self.held_by_checkout.get(line.product_id))
            else line
            for line in self.cart_items
        ]
        return self._next(lines, now, lifetime, checkout=None)

    @property
    def held_by_checkout(self) -> dict[str, int]:
        """Product id -> units whose hold ends with the checkout, if it ends without an order."""
        keeps = self.checkout is None or self.checkout.keeps_holds
        return {} if keeps else self.held_units

    def repriced(self, prices: Mapping[str, Decimal]) -> Self:
        """The same version of the cart with the product service's prices, where they are known."""
        lines = [
            line.priced(prices[line.product_id]) if line.product_id in prices else line
            for line in self.cart_items
        ]
        return self.model_copy(update={"cart_items": lines})

    def without_holds(self, now: datetime) -> Self:
        """The next version of the cart, whose holds have ended.

        It is no activity of the user, so the cart keeps its expiry.
        """
        lines = [line.lapsed(now) if line.held else line for line in self.cart_items]
        changed = {"cart_items": lines, "holds_end": None, "held_since": None}
        return self.model_copy(update=changed | {"version": self.version + 1, "updated_at": now})

    def without_units(self, taken: dict[str, int], now: datetime, lifetime: Lifetime) -> Self:
        """The next version of the cart without these units (product -> how many, at most all).

        A line without units is removed. Units that are held leave a line first.
        """
        lines = []
        for line in self.cart_items:
            units = taken.get(line.product_id, 0)
            left = line.product_quantity - units
            if left:
                lines.append(line.with_quantity(left, line.held - min(units, line.held), now))
        # An order ends the checkout.
        return self._next(lines, now, lifetime, checkout=None)

    def marked(self, news: Iterable[ProductAvailability], now: datetime) -> Self | None:
        """The next version of the cart with its lines marked; None when nothing changes.

        It is no activity of the user, so the cart keeps its expiry.
        """
        by_product = {item.product_id: item for item in news}
        lines = [
            line.marked(by_product[line.product_id]) if line.product_id in by_product else line
            for line in self.cart_items
        ]
        if all(after is before for after, before in zip(lines, self.cart_items, strict=True)):
            return None
        return self.model_copy(
            update={"cart_items": lines, "version": self.version + 1, "updated_at": now}
        )

    def with_holds_of(self, lines: list[CartLine], now: datetime, lifetime: Lifetime) -> Self:
        """The same version of the cart with these lines, whose units are held from now on."""
        return self.model_copy(update=self._holding(lines, now, lifetime))

    def _holding(
        self, lines: list[CartLine], now: datetime, lifetime: Lifetime
    ) -> dict[str, object]:
        """The fields that say what is held and until when, after a change of the lines."""
        since = self.held_since or now
        end = lifetime.holds_end(since, now) if any(line.held for line in lines) else None
        return {
            "cart_items": [line.held_until(end) for line in lines],
            "holds_end": end,
            "held_since": since if end else None,
        }

    def _next(
        self, lines: list[CartLine], now: datetime, lifetime: Lifetime, **changed: object
    ) -> Self:
        """The next version after a change by the user, which moves its ends."""
        sellers = {line.seller_id for line in lines}
        return self.model_copy(
            update={
                **self._holding(lines, now, lifetime),
                "quantity": sum(line.product_quantity for line in lines),
                "total_price": cents(sum((line.total for line in lines), Decimal(0))),
                "seller_id": sellers.pop() if len(sellers) == 1 else None,
                "version": self.version + 1,
                "updated_at": now,
                "expire_at": now + timedelta(days=lifetime.expiry_days),
                **changed,
            }
        )


class CartView(CartContent):
    """A cart with its items."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[
        PydanticObjectId, WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{24}$"})
    ] = Field(alias="_id")
    """The cart's id."""
    email: str | None = Field(default=None, exclude=True)


def line_changes(before: CartContent | None, after: CartContent | None) -> list[LineChange]:
    """How the lines of two versions of a cart differ; None is no cart."""
    old, new = (
        {line.product_id: line for line in cart.cart_items} if cart else {}
        for cart in (before, after)
    )
    changes = []
    for product_id in {**old, **new}:
        was, now = old.get(product_id), new.get(product_id)
        line = now or was
        if line is None or was == now:
            continue
        units = was.product_quantity if was else 0
        marked = was and now and was.availability_status != now.availability_status
        changes.append(
            LineChange(
                product_id=product_id,
                before=units,
                moved=(now.product_quantity if now else 0) - units,
                price=line.product_price,
                availability=line.availability_status if marked else None,
            )
        )
    return changes


_NOT_SHOWN: Any = {
    "id": True,
    "email": True,
    "bucket": True,
    "claim": True,
    "holds_end": True,
    "held_since": True,
    "abandon_at": True,
    "abandoned_at": True,
    "checkout": {"keeps_holds"},
    "cart_items": {"__all__": {"availability_at", "units_held", "lapsed_at"}},
}

_ABSENT = ("holdUntil", "priceChanged")

"""The fields of a line that are left out unless they have a value."""


def cart_fields(cart_id: object, cart: CartContent) -> dict[str, Any]:
    """The cart as clients see it (`CartView`), ready for `to_json`."""
    fields = cart.model_dump(by_alias=True, exclude=_NOT_SHOWN)
    for line in fields["cartItems"]:
        for name in _ABSENT:
            if line[name] is None:
                del line[name]
    if fields["checkout"] is None:
        del fields["checkout"]
    return {"_id": str(cart_id), **fields}


def cart_json(cart_id: object, cart: CartContent) -> bytes:
    """The cart as clients see it, as JSON text."""
    return to_json(cart_fields(cart_id, cart))


def etag(cart_id: object, version: int) -> str:
    """The entity tag of a cart's version (RFC 9110, 8.8.3), without quotes.

    The cart's id is part of it: after a clear the user's next cart begins at version 1 again.
    """
    return f"{version}-{cart_id}"


def matches(tags: tuple[str, ...], cart_id: object, version: int) -> bool:
    """Whether a cart's version is among the tags; `*` is any, and a bare version is enough."""
    return version > 0 and not {"*", str(version), etag(cart_id, version)}.isdisjoint(tags)
