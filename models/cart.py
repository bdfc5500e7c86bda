"""The cart: what it holds, how it changes, and how it is stored and shown.

`CartContent` is plain data with the rules of arithmetic; `Cart` is the same as a Beanie document.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, Self

from beanie import Document, PydanticObjectId
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema
from pymongo import ASCENDING, DESCENDING, IndexModel

from models.limits import CartSize
from models.messages import AddItemInput, AvailabilityNews
from models.money import Money, cents

TTL_GRACE_SECONDS = 7 * 24 * 3600
"""How long after `expireAt` MongoDB itself deletes a cart. Expiry proper is a saga, which gives the
stock back; the TTL index is only the backstop behind it."""

AvailabilityStatus = Literal["available", "out_of_stock"]

_camel = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class CartLine(BaseModel):
    """One product in a cart.

    `reserved_at` is when its latest hold was made, `availability_at` the time of the latest news
    of its availability since.
    """

    model_config = _camel

    product_id: str
    product_title: str
    product_image: list[str] = []
    product_price: Money
    product_quantity: int
    product_description: str | None = None
    seller_id: str | None = None
    availability_status: AvailabilityStatus = "available"
    unavailability_reason: str | None = None
    availability_at: SkipJsonSchema[datetime | None] = None  # clients do not see it
    reserved_at: datetime

    def with_news(self, news: AvailabilityNews) -> Self:
        """The line as the news has it; itself when it is known better.

        Events of different topics come in any order, so the latest by its own time wins; and a
        hold that was made later says more than any news.
        """
        if news.at <= max(self.reserved_at, self.availability_at or self.reserved_at):
            return self
        return self.model_copy(
            update={
                "availability_status": news.status,
                "unavailability_reason": news.reason if news.status == "out_of_stock" else None,
                "availability_at": news.at,
            }
        )

    @property
    def total(self) -> Decimal:
        """Price times quantity, in the cart's currency."""
        return cents(self.product_price * self.product_quantity)


class CartContent(BaseModel):
    """A cart without its storage. `quantity` counts units, `version` counts changes from 1."""

    model_config = _camel

    user_id: str
    store_id: str
    seller_id: str | None = None
    full_name: str | None = None
    email: str | None = None
    quantity: int = 0
    total_price: Money = Decimal(0)
    currency: str
    cart_items: list[CartLine] = []
    expire_at: datetime
    version: int = 0
    created_at: datetime
    updated_at: datetime

    def line(self, product_id: str) -> CartLine | None:
        """The line of a product, or None."""
        return next((line for line in self.cart_items if line.product_id == product_id), None)

    def size(self, product_id: str) -> CartSize:
        """How large the cart is, and the product's line in it."""
        line = self.line(product_id)
        return CartSize(
            lines=len(self.cart_items),
            units=self.quantity,
            worth=self.total_price,
            line_units=line.product_quantity if line else 0,
            line_worth=line.total if line else Decimal(0),
        )

    def with_added(self, request: AddItemInput, now: datetime) -> Self:
        """The next version of the cart with the request's units added.

        An existing line keeps its place, sums the quantities and takes over title, image,
        description, price and seller of the latest request.
        """
        before = self.line(request.product_id)
        line = CartLine(
            product_id=request.product_id,
            product_title=request.product_title,
            product_image=list(request.product_images),
            product_price=cents(request.product_price),
            product_quantity=request.quantity + (before.product_quantity if before else 0),
            product_description=request.product_description,
            seller_id=request.seller_id,
            reserved_at=now,
        )
        if before:
            lines = [line if item is before else item for item in self.cart_items]
        else:
            lines = [*self.cart_items, line]
        owner = {
            name: value
            for name, value in (("full_name", request.full_name), ("email", request.email))
            if value is not None
        }
        return self._next(lines, now, request.policy.expiry_days, **owner)

    def with_quantity(self, product_id: str, quantity: int, now: datetime, days: int) -> Self:
        """The next version of the cart with another quantity of a product that is in it.

        More of it was reserved just now, so it is available again.
        """
        lines = [
            line.model_copy(
                update={"product_quantity": quantity}
                | (
                    {
                        "reserved_at": now,
                        "availability_status": "available",
                        "unavailability_reason": None,
                        "availability_at": None,
                    }
                    if quantity > line.product_quantity
                    else {}
                )
            )
            if line.product_id == product_id
            else line
            for line in self.cart_items
        ]
        return self._next(lines, now, days)

    def without_units(self, taken: dict[str, int], now: datetime, days: int) -> Self:
        """The next version of the cart without these units (product -> how many, at most all)."""
        left = [
            (line, line.product_quantity - taken.get(line.product_id, 0))
            for line in self.cart_items
        ]
        lines = [
            line
            if units == line.product_quantity
            else line.model_copy(update={"product_quantity": units})
            for line, units in left
            if units > 0
        ]
        return self._next(lines, now, days)

    def with_news(self, news: tuple[AvailabilityNews, ...], now: datetime) -> Self | None:
        """The next version of the cart with its lines marked; None when none of it is new.

        It is no activity of its user, so the cart expires when it would have.
        """
        by_product = {item.product_id: item for item in news}
        lines = [
            line.with_news(by_product[line.product_id]) if line.product_id in by_product else line
            for line in self.cart_items
        ]
        if all(after is before for after, before in zip(lines, self.cart_items, strict=True)):
            return None
        return self.model_copy(
            update={"cart_items": lines, "version": self.version + 1, "updated_at": now}
        )

    def without(self, product_id: str, now: datetime, days: int) -> Self:
        """The next version of the cart without a product; it may be empty then."""
        lines = [line for line in self.cart_items if line.product_id != product_id]
        return self._next(lines, now, days)

    def _next(
        self, lines: list[CartLine], now: datetime, expiry_days: int, **changed: object
    ) -> Self:
        return self.model_copy(
            update={
                "cart_items": lines,
                "quantity": sum(line.product_quantity for line in lines),
                "total_price": cents(sum((line.total for line in lines), Decimal(0))),
                "seller_id": _common(line.seller_id for line in lines),
                "version": self.version + 1,
                "updated_at": now,
                "expire_at": now + timedelta(days=expiry_days),
                **changed,
            }
        )


def etag(cart_id: object, version: int) -> str:
    """The entity tag of a cart's version (RFC 9110, 8.8.3), without quotes.

    The cart's id is part of it: after a clear the user's next cart begins at version 1 again.
    """
    return f"{version}-{cart_id}"


def matches(tags: tuple[str, ...], cart_id: object, version: int) -> bool:
    """Whether a cart's version is among the tags; `*` is any, and a bare version is enough."""
    return version > 0 and not {"*", str(version), etag(cart_id, version)}.isdisjoint(tags)


def _common(values: Iterable[str | None]) -> str | None:
    """The one value that all have, else None."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def empty_cart(request: AddItemInput, now: datetime) -> CartContent:
    """A cart before its first change; it is never stored like this."""
    return CartContent(
        user_id=request.user_id,
        store_id=request.store_id,
        currency=request.policy.currency,
        created_at=now,
        updated_at=now,
        expire_at=now,
    )


class Cart(CartContent, Document):
    """A stored cart: one for each user and store."""

    # Again: Beanie's own generator would store snake_case names.
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)  # type: ignore[misc]

    id: PydanticObjectId = Field(default_factory=PydanticObjectId, alias="_id")

    class Settings:
        name = "carts"
        indexes = [
            IndexModel([("userId", ASCENDING), ("storeId", ASCENDING)], unique=True),
            IndexModel([("storeId", ASCENDING)]),
            # A store's carts by user, as the inventory lists its holds.
            IndexModel([("storeId", ASCENDING), ("userId", ASCENDING)]),
            IndexModel([("sellerId", ASCENDING)]),
            IndexModel([("expireAt", ASCENDING)], expireAfterSeconds=TTL_GRACE_SECONDS),
            IndexModel([("createdAt", DESCENDING)]),
            # The admins' list, in its order, and that of the carts with a product.
            IndexModel([("storeId", ASCENDING), ("createdAt", DESCENDING), ("_id", DESCENDING)]),
            IndexModel(
                [
                    ("storeId", ASCENDING),
                    ("cartItems.productId", ASCENDING),
                    ("createdAt", DESCENDING),
                    ("_id", DESCENDING),
                ]
            ),
            # A product's carts, of one store or of all, page by page.
            IndexModel([("cartItems.productId", ASCENDING), ("_id", ASCENDING)]),
        ]


class CartView(CartContent):
    """A cart as clients see it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    id: PydanticObjectId = Field(alias="_id")
    email: str | None = Field(default=None, exclude=True)
