"""Reads a cart of the original Node.js service (Mongoose) as one of this service.

Its documents have ObjectIds, prices as doubles, images as one string or a list, and no currency. A
field is judged by the rules of the API (`api.schemas`). What cannot be taken over as it is, is
named as a difference; nothing is left out silently.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, TypeVar

from bson import Decimal128, Int64, ObjectId
from pydantic import Field, TypeAdapter, ValidationError

from api.fields import EMAIL_PATTERN, MAX_EMAIL, EntityId, Images
from cli.import_.differences import Difference, DifferenceKind
from models.cart import CartContent
from models.cart_line import CartLine
from models.limits import Policy
from models.money import MAX_PRICE, cents
from models.products import MAX_IMAGES, Description, Title
from models.user_id import UserId
from models.wire import to_milliseconds

MAX_UNITS = 2**31 - 1
NOISE = Decimal("0.000001")
"""A double nearer than this to two digits is these two digits."""
_KNOWN = {
    *("_id", "__v", "userId", "storeId", "sellerId", "fullName", "email", "quantity"),
    *("totalPrice", "cartItems", "expireAt", "version", "createdAt", "updatedAt", "currency"),
}
_KNOWN_OF_LINES = {
    *("_id", "productId", "productTitle", "productImage", "productPrice", "productQuantity"),
    *("productDescription", "sellerId", "availabilityStatus", "unavailabilityReason"),
    "reservedAt",
}

T = TypeVar("T")
_ENTITY: TypeAdapter[str] = TypeAdapter(EntityId)
_USER: TypeAdapter[str] = TypeAdapter(UserId)
_TITLE: TypeAdapter[str] = TypeAdapter(Title)
_DESCRIPTION: TypeAdapter[str] = TypeAdapter(Description)
_IMAGES: TypeAdapter[list[str]] = TypeAdapter(Images)
_EMAIL: TypeAdapter[str] = TypeAdapter(
    Annotated[str, Field(max_length=MAX_EMAIL, pattern=EMAIL_PATTERN)]
)


@dataclass
class ReadCart:
    """A cart that was read: None where it cannot be imported, and what differs from the original.

    Its lines have no units held; the import reserves them.
    """

    cart_id: ObjectId | None
    cart: CartContent | None = None
    differences: list[Difference] = field(default_factory=list)

    def note(self, kind: DifferenceKind, detail: str, product_id: str | None = None) -> None:
        """Adds a difference."""
        self.differences.append(Difference(str(self.cart_id), kind, detail, product_id))


def store_of(document: Mapping[str, Any]) -> str | None:
    """The store of a document; None where it has none that is valid."""
    return _valid(_ENTITY, _text(document.get("storeId")))


def read_cart(document: Mapping[str, Any], policy: Policy, now: datetime) -> ReadCart:
    """The cart of a document, or why there is none.

    `policy` is that of its store. The cart keeps its id, version and times, and gets the policy's
    currency. One without `expireAt` gets a full period.
    """
    cart_id = document.get("_id")
    read = ReadCart(cart_id if isinstance(cart_id, ObjectId) else None)
    user_id = _valid(_USER, _text(document.get("userId")))
    store_id = store_of(document)
    if read.cart_id is None or user_id is None or store_id is None:
        names = [
            name
            for name, value in (("_id", read.cart_id), ("userId", user_id), ("storeId", store_id))
            if value is None
        ]
        read.note(DifferenceKind.CART_UNUSABLE, f"invalid {', '.join(names)}")
        return read
    items = document.get("cartItems", [])
    if not isinstance(items, list):
        read.note(DifferenceKind.CART_UNUSABLE, "cartItems is not a list")
        return read
    expire_at = _time(document.get("expireAt")) or now + timedelta(days=policy.expiry_days)
    if expire_at <= now:
        read.note(DifferenceKind.EXPIRED, f"expired at {expire_at:%Y-%m-%d %H:%M}Z")
        return read
    updated_at = _time(document.get("updatedAt")) or now
    lines = _lines(items, read, updated_at)
    sellers = {line.seller_id for line in lines}
    version = _whole(document.get("version"))
    cart = CartContent(
        user_id=user_id,
        store_id=store_id,
        seller_id=sellers.pop() if len(sellers) == 1 else None,
        full_name=_optional(_TITLE, document, "fullName", read),
        email=_optional(_EMAIL, document, "email", read),
        quantity=sum(line.product_quantity for line in lines),
        total_price=cents(sum((line.total for line in lines), Decimal(0))),
        currency=policy.currency,
        cart_items=lines,
        expire_at=expire_at,
        version=max(version or 1, 1),
        created_at=_time(document.get("createdAt")) or updated_at,
        updated_at=updated_at,
    )
    _compare(document, cart, policy, read)
    read.cart = cart
    return read


def _compare(
    document: Mapping[str, Any], cart: CartContent, policy: Policy, read: ReadCart
) -> None:
    """Notes what of the whole cart differs."""
    total = _decimal(document.get("totalPrice"))
    if total is not None and abs(total - cart.total_price) >= Decimal("0.005"):
        read.note(DifferenceKind.TOTAL_CORRECTED, f"{total} is {cart.total_price}")
    quantity = _whole(document.get("quantity"))
    if quantity is not None and quantity != cart.quantity:
        read.note(DifferenceKind.QUANTITY_CORRECTED, f"{quantity} is {cart.quantity}")
    currency = document.get("currency")
    if currency not in {None, cart.currency}:
        read.note(DifferenceKind.FIELD_LEFT_OUT, f"currency {currency!r}: it is {cart.currency}")
    for name in sorted(document.keys() - _KNOWN):
        read.note(DifferenceKind.FIELD_LEFT_OUT, f"{name}: unknown field")
    if len(cart.cart_items) > policy.max_lines:
        limit = f"{len(cart.cart_items)} lines; the limit is {policy.max_lines}"
        read.note(DifferenceKind.OVER_LIMIT, limit)
    if policy.max_units and cart.quantity > policy.max_units:
        limit = f"{cart.quantity} units; the limit is {policy.max_units}"
        read.note(DifferenceKind.OVER_LIMIT, limit)
    for line in cart.cart_items:
        if line.product_quantity > policy.max_quantity:
            limit = f"{line.product_quantity} units; the limit is {policy.max_quantity}"
            read.note(DifferenceKind.OVER_LIMIT, limit, line.product_id)


def _lines(items: list[Any], read: ReadCart, updated_at: datetime) -> list[CartLine]:
    """The lines that can be used, one for each product."""
    lines: dict[str, CartLine] = {}
    for number, item in enumerate(items):
        line = _line(item, number, read, updated_at)
        if line is None:
            continue
        earlier = lines.get(line.product_id)
        if earlier is not None:
            units = earlier.product_quantity + line.product_quantity
            detail = f"{earlier.product_quantity} and {line.product_quantity} units"
            read.note(DifferenceKind.LINES_MERGED, detail, line.product_id)
            line = line.model_copy(update={"product_quantity": units})
        lines[line.product_id] = line
    return list(lines.values())


def _line(item: Any, number: int, read: ReadCart, updated_at: datetime) -> CartLine | None:
    if not isinstance(item, Mapping):
        read.note(DifferenceKind.LINE_UNUSABLE, f"cartItems[{number}] is no object")
        return None
    product_id = _valid(_ENTITY, _text(item.get("productId")))
    price, quantity = _decimal(item.get("productPrice")), _whole(item.get("productQuantity"))
    broken = [
        *(["productId"] if product_id is None else []),
        *(["productPrice"] if price is None or not 0 <= price <= MAX_PRICE else []),
        *(["productQuantity"] if quantity is None or not 1 <= quantity <= MAX_UNITS else []),
    ]
    if product_id is None or price is None or quantity is None or broken:
        detail = f"cartItems[{number}]: invalid {', '.join(broken)}"
        read.note(DifferenceKind.LINE_UNUSABLE, detail, product_id)
        return None
    if abs(price - cents(price)) > NOISE:
        read.note(DifferenceKind.PRICE_ROUNDED, f"{price} is {cents(price)}", product_id)
    for name in sorted(item.keys() - _KNOWN_OF_LINES):
        read.note(DifferenceKind.FIELD_LEFT_OUT, f"{name}: unknown field", product_id)
    title = _valid(_TITLE, item.get("productTitle"))
    if title is None:
        read.note(DifferenceKind.TITLE_REPLACED, repr(item.get("productTitle"))[:80], product_id)
    is_out = item.get("availabilityStatus") == "out_of_stock"
    why = item.get("unavailabilityReason")
    return CartLine(
        product_id=product_id,
        product_title=title or product_id,
        product_image=_images(item.get("productImage"), read, product_id),
        product_price=cents(price),
        product_quantity=quantity,
        units_held=0,
        product_description=_optional(_DESCRIPTION, item, "productDescription", read, product_id),
        seller_id=_optional(_ENTITY, item, "sellerId", read, product_id),
        availability_status="out_of_stock" if is_out else "available",
        unavailability_reason=why if is_out and isinstance(why, str) else None,
        reserved_at=_time(item.get("reservedAt")) or updated_at,
    )


def _images(value: Any, read: ReadCart, product_id: str) -> list[str]:
    given = value if isinstance(value, list) else [value] if value else []
    valid = [one[0] for one in (_valid(_IMAGES, [url]) for url in given) if one]
    kept = valid[:MAX_IMAGES]
    if len(kept) < len(given):
        detail = f"productImage: {len(given) - len(kept)} of {len(given)} cannot be used"
        read.note(DifferenceKind.FIELD_LEFT_OUT, detail, product_id)
    return kept


def _optional(
    rule: TypeAdapter[str],
    document: Mapping[str, Any],
    name: str,
    read: ReadCart,
    product_id: str | None = None,
) -> str | None:
    """A field that may be absent; an invalid one is left out."""
    given = _text(document.get(name))
    if given is None or given == "":
        return None
    value = _valid(rule, given)
    if value is None:
        read.note(DifferenceKind.FIELD_LEFT_OUT, f"{name}: invalid", product_id)
    return value


def _valid(rule: TypeAdapter[T], value: Any) -> T | None:
    try:
        return rule.validate_python(value, strict=True)
    except ValidationError:
        return None


def _text(value: Any) -> Any:
    """An ObjectId as its 24 hexadecimal digits."""
    return str(value) if isinstance(value, ObjectId) else value


def _whole(value: Any) -> int | None:
    """A whole number; doubles such as 2.0 are whole."""
    if isinstance(value, bool) or not isinstance(value, int | float | Int64):
        return None
    is_whole = math.isfinite(value) and abs(value) <= MAX_UNITS and value == int(value)
    return int(value) if is_whole else None


def _decimal(value: Any) -> Decimal | None:
    """An amount: a double by its shortest digits, as people wrote it."""
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def _time(value: Any) -> datetime | None:
    """A date of MongoDB, in UTC."""
    if not isinstance(value, datetime):
        return None
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return to_milliseconds(aware.astimezone(UTC))
