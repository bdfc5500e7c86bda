"""The cart: what it holds and how it changes. Plain data, without storage.

`models.documents.Cart` is the same as a Beanie document.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Self

from beanie import PydanticObjectId
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema
from typing_extensions import TypeAliasType

from models.checkout import CartCheckout
from models.message import Message
from models.money import Money, PriceSource, cents
from models.orders import Cancellation, Ordered
from models.wire import CAMEL_CASE, SENT, Absent, to_json, to_milliseconds

AvailabilityStatus = TypeAliasType(
    "AvailabilityStatus", Literal["available", "out_of_stock", "hold_expired"]
)
StockStatus = Literal["available", "out_of_stock"]


class CartKey(NamedTuple):
    """Identifies a cart: there is one for each user of a store."""

    store_id: str
    user_id: str


class CartVersion(NamedTuple):
    """Identifies one version of one cart: after a clear, the next cart has another id."""

    cart_id: str
    version: int


class ProductAvailability(Message):
    """A product's stock status since `at`, the time of the event that reported it."""

    product_id: str
    status: StockStatus
    reason: str | None = None
    at: datetime


class LineFacts(Message):
    """What a saga knows of a line: `unheld` of its units are not held at the inventory."""

    product_id: str
    quantity: int
    unheld: int = 0
    price: Decimal


class GuestFacts(Message):
    """What a merge knows of the guest's cart.

    `line_bytes` are the sizes of its lines' JSON texts, and `into_bytes` that of the cart into
    which it is merged (0: there is none). `checkout_id` is set while the cart is frozen.
    """

    cart_id: str
    version: int
    currency: str
    content: tuple[LineFacts, ...] = ()
    line_bytes: tuple[int, ...] = ()
    into_bytes: int = 0
    checkout_id: str | None = None


class CartFacts(Message):
    """What a saga knows of a cart to decide on an operation; `version` 0 means that none exists.

    `line_quantity`, `line_unheld` and `line_price` are those of the operation's product. Amounts
    are in `currency`, which is None without a cart. `checkout_id` is set while it is frozen.
    `content` are all lines, if the operation decides on all (`CartOperation.needs_lines`).
    `releasing` are the products of which the cart's own operations still have units to release.
    `ordered` is what an order has, if the operation is one whose content is known, `cancellation`
    what is known of an order that is cancelled.
    `guest` is the guest's cart that is merged, if there is one.
    """

    version: int = 0
    cart_id: str | None = None
    lines: int = 0
    units: int = 0
    total_price: Decimal = Decimal(0)
    currency: str | None = None
    checkout_id: str | None = None
    line_quantity: int = 0
    line_unheld: int = 0
    line_price: Decimal = Decimal(0)
    content: tuple[LineFacts, ...] = ()
    releasing: tuple[str, ...] = ()
    ordered: Ordered | None = None
    cancellation: Cancellation | None = None
    guest: GuestFacts | None = None

    @property
    def unheld(self) -> bool:
        """Whether a line that matters has units that are not held."""
        return self.line_unheld > 0 or any(line.unheld for line in self.content)


NO_CART = CartFacts()


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

    def _next(
        self, lines: list[CartLine], now: datetime, lifetime: Lifetime, **changed: object
    ) -> Self:
        """The next version after a change by the user, which moves its ends."""
        sellers = {line.seller_id for line in lines}
        since = self.held_since or now
        end = lifetime.holds_end(since, now) if any(line.held for line in lines) else None
        return self.model_copy(
            update={
                "cart_items": [line.held_until(end) for line in lines],
                "holds_end": end,
                "held_since": since if end else None,
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


def facts_of(
    cart: CartContent | None, cart_id: object, product_id: str | None, *, whole: bool = False
) -> CartFacts:
    """What a saga must know of a cart; `product_id` names the line that matters, if one does, and
    with `whole` all do."""
    if cart is None:
        return NO_CART
    line = cart.line(product_id) if product_id is not None else None
    return CartFacts(
        version=cart.version,
        cart_id=str(cart_id),
        lines=len(cart.cart_items),
        units=cart.quantity,
        total_price=cart.total_price,
        currency=cart.currency,
        checkout_id=cart.checkout.checkout_id if cart.checkout else None,
        line_quantity=line.product_quantity if line else 0,
        line_unheld=line.product_quantity - line.held if line else 0,
        line_price=line.product_price if line else Decimal(0),
        content=tuple(map(_facts_of_line, cart.cart_items)) if whole else (),
    )


def guest_facts(cart_id: object, cart: CartContent, into: CartContent | None) -> GuestFacts:
    """What a merge must know of a guest's cart that is merged into another."""
    return GuestFacts(
        cart_id=str(cart_id),
        version=cart.version,
        currency=cart.currency,
        content=tuple(map(_facts_of_line, cart.cart_items)),
        line_bytes=tuple(len(to_json(line)) for line in cart.cart_items),
        into_bytes=len(cart_json(cart_id, into)) if into else 0,
        checkout_id=cart.checkout.checkout_id if cart.checkout else None,
    )


def _facts_of_line(line: CartLine) -> LineFacts:
    return LineFacts(
        product_id=line.product_id,
        quantity=line.product_quantity,
        unheld=line.product_quantity - line.held,
        price=line.product_price,
    )


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
