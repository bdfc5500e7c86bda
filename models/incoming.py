"""Consumed events: reading a Kafka message, and what makes it unusable.

Unknown fields are ignored, so that senders can add fields. CloudEvents are read in binary and in
structured mode. `workflows.event_handler` handles the events.
"""

import hashlib
import json
from codecs import BOM_UTF8
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from models.errors import EventUnusable
from models.events import (
    CART_ITEM_OUT_OF_STOCK,
    INVENTORY_BACK_IN_STOCK,
    ORDER_CANCELLED,
    ORDER_COMPLETED,
)
from models.user_id import UserId
from models.wire import CAMEL_CASE, to_milliseconds

MAX_EVENT_BYTES = 256 * 1024
"""The limit of key, value and headers together. The largest sensible event is far smaller."""
SAMPLE_BYTES = 4096
"""How much is kept of the key and value of a message that is too large. Its topic has all of it."""
_MAX_LINES = 1000

EntityId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
CartId = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{24}$")]
EventId = Annotated[str, Field(min_length=1, max_length=255)]
Reason = Annotated[str, Field(min_length=1, max_length=500)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_TIME = datetime(2000, 1, 1, tzinfo=UTC)
_LAST_TIME = datetime(9999, 1, 1, tzinfo=UTC)
_TIME: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


Raw = Literal["batch", "record"]


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a message could not be decoded. `code` is stable, `detail` is text for people.

    With `raw`, the message's value is the bytes of a batch or record as Kafka stores them. A batch
    may have several messages, up to `last_offset`.
    """

    code: str
    detail: str
    last_offset: int
    raw: Raw | None = None


@dataclass(frozen=True, slots=True)
class ConsumedMessage:
    """A Kafka message as received.

    `timestamp` is in epoch milliseconds, and -1 if there is none. `full_size` is the size of a
    message of which only a sample is left.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int
    flaw: Flaw | None = None
    full_size: int | None = None

    @property
    def size(self) -> int:
        """The size of key, value and headers in bytes."""
        if self.full_size is not None:
            return self.full_size
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers

    @property
    def next_offset(self) -> int:
        """The offset of the next message of the partition."""
        return (self.flaw.last_offset if self.flaw else self.offset) + 1

    def bounded(self) -> Self:
        """The message, or a sample of it if it is larger than an event may be."""
        size = self.size
        if size <= MAX_EVENT_BYTES:
            return self
        return replace(
            self,
            key=self.key and self.key[:SAMPLE_BYTES],
            value=self.value and self.value[:SAMPLE_BYTES],
            headers=(),
            full_size=size,
        )

    def header(self, name: str) -> str | None:
        """The text of a header, or None if it is missing or empty."""
        for found, value in self.headers:
            if found == name and value:
                return value.decode(errors="replace")
        return None


class _Read(BaseModel):
    model_config = ConfigDict(
        **CAMEL_CASE, frozen=True, extra="ignore", use_attribute_docstrings=True
    )


class Incoming(_Read):
    """The optional fields of all consumed events."""

    event_id: EventId | None = None
    """The event's id, the same on every delivery; used if there is no `ce_id` header."""
    timestamp: AwareDatetime | None = None
    """When the event happened; used if there is no `ce_time` header."""


class OrderedItem(_Read):
    """A product of an order."""

    product_id: EntityId
    """The ordered product."""
    quantity: int | None = Field(None, ge=1)
    """The number of ordered units; without it, all in the cart, or those that left it last."""


class OrderCompleted(Incoming):
    """An order was paid. It takes the whole cart, unless `items` or `cartVersion` limit it.

    What is not in the cart any more is reserved again. `cart.order.applied` says what was booked.
    """

    cart_id: CartId
    """The cart that was ordered."""
    user_id: UserId
    """The cart's user. If it is another user's cart, the event is parked."""
    store_id: EntityId
    """The cart's store. If the cart is in another store, the event is parked."""
    order_id: EntityId
    """The order's id. An order takes effect once, however many messages report it."""
    items: tuple[OrderedItem, ...] | None = Field(None, min_length=1, max_length=_MAX_LINES)
    """The ordered items; the rest stays in the cart."""
    cart_version: int | None = Field(None, ge=1)
    """The version of the cart that was ordered; units added later stay in the cart."""
    checkout_id: EntityId | None = None
    """The checkout that was ordered: exactly its units are booked, whatever `items` says."""


class OrderCancelled(Incoming):
    """An order was cancelled, for instance because its payment failed.

    Before it has completed its cart can be changed again, and a later `order.completed` of it has
    no effect. Afterwards the inventory takes its units back.
    """

    cart_id: CartId
    """The cart that was to be ordered."""
    user_id: UserId
    """The cart's user. If it is another user's cart, the event is parked."""
    store_id: EntityId
    """The cart's store. If the cart is in another store, the event is parked."""
    order_id: EntityId
    """The order's id. An order is cancelled once, however many messages report it."""
    checkout_id: EntityId | None = None
    """The checkout that ends; without it, the one that the cart has."""


class UnavailableItem(_Read):
    """A product that is unavailable, with the reason."""

    product_id: EntityId
    """The unavailable product."""
    reason: Reason = "Out of stock"
    """The reason that is shown in carts."""


class OutOfStock(Incoming):
    """Products are unavailable, in one cart or (without `cartId`) in all carts.

    `productId` and `reason` can replace `unavailableItems` for a single product.
    """

    cart_id: CartId | None = None
    """The cart whose lines are marked; without it, all carts."""
    store_id: EntityId | None = None
    """The store whose carts are marked; without it and without `cartId`, all stores."""
    unavailable_items: tuple[UnavailableItem, ...] | None = Field(
        None, min_length=1, max_length=_MAX_LINES
    )
    """The unavailable products; either this or `productId` is required."""
    product_id: EntityId | None = None
    """The single unavailable product."""
    reason: Reason = "Out of stock"
    """The reason that is shown in carts, for `productId`."""

    @model_validator(mode="after")
    def _names_products(self) -> Self:
        if (self.unavailable_items is None) == (self.product_id is None):
            raise ValueError("either unavailableItems or productId must be given")
        return self

    @property
    def items(self) -> tuple[UnavailableItem, ...]:
        """The unavailable products, from either field."""
        if self.unavailable_items is not None:
            return self.unavailable_items
        return (UnavailableItem(product_id=str(self.product_id), reason=self.reason),)


class BackInStock(Incoming):
    """A product is available again, in one store or (without `storeId`) in all stores."""

    product_id: EntityId
    """The available product."""
    store_id: EntityId | None = None
    """The store; without it, all stores."""


Event = OrderCompleted | OrderCancelled | OutOfStock | BackInStock
CONSUMED: dict[str, type[Event]] = {
    ORDER_COMPLETED: OrderCompleted,
    ORDER_CANCELLED: OrderCancelled,
    CART_ITEM_OUT_OF_STOCK: OutOfStock,
    INVENTORY_BACK_IN_STOCK: BackInStock,
}
"""The consumed topics, and the models of their messages."""


def read_event(message: ConsumedMessage) -> Event:
    """The event in a message; raises `EventUnusable`."""
    if message.flaw is not None:
        raise EventUnusable(message.flaw.code, message.flaw.detail)
    if message.size > MAX_EVENT_BYTES:
        limit = f"{message.size} bytes, the limit is {MAX_EVENT_BYTES}"
        raise EventUnusable("too_large", limit)
    try:
        return CONSUMED[message.topic].model_validate_json(_body(message))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise EventUnusable("malformed", f"no JSON: {first['msg']}") from None
        where = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise EventUnusable("invalid", f"{where}: {what}" if where else what) from None


def _body(message: ConsumedMessage) -> bytes:
    """The JSON of the event itself: of a CloudEvent in structured mode its `data`, with the
    envelope's `id` and `time` as the event's own."""
    value = (message.value or b"").removeprefix(BOM_UTF8)
    if b"specversion" not in value:
        return value
    try:
        envelope = json.loads(value)
    except (ValueError, RecursionError):
        return value  # validation says what is wrong
    if not isinstance(envelope, dict) or "specversion" not in envelope:
        return value
    data = envelope.get("data")
    if not isinstance(data, dict):
        return value
    stated = {"eventId": envelope.get("id"), "timestamp": _stated_time(envelope.get("time"))}
    return json.dumps(
        data | {name: one for name, one in stated.items() if one is not None}, default=str
    ).encode()


def event_id(message: ConsumedMessage, event: Event) -> str:
    """The event's id, the same on every delivery.

    For orders, the order's id: one is completed or cancelled once, however many messages report
    it. For others, the sender's id (`ce_id`, `eventId`), or else a hash of content and time. The
    offset is used only without a time: a broker that lost data assigns it to another event.
    """
    if isinstance(event, OrderCompleted | OrderCancelled):
        return event.order_id
    named = message.header("ce_id") or event.event_id
    if named:
        return named[:255]
    sent = f"{message.timestamp}|"
    if not _is_plausible(message.timestamp):  # two of such messages would have one id
        sent += f"{message.partition}|{message.offset}|"
    digest = hashlib.sha256(sent.encode())
    for part in (message.key or b"", message.value or b""):
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()


def event_time(message: ConsumedMessage, event: Event) -> datetime:
    """When the event happened: by `ce_time`, else `timestamp`, else Kafka's time, else now.

    A time before 2000 is no time: an event of 1970 would be older than all, and have no effect. No
    event happened after it was sent.
    """
    if _is_plausible(message.timestamp):
        sent = _EPOCH + timedelta(milliseconds=message.timestamp)
    else:
        sent = datetime.now(UTC)
    stated = (_stated_time(message.header("ce_time")), event.timestamp)
    happened = next((time for time in stated if time is not None and time >= _FIRST_TIME), sent)
    return to_milliseconds(min(sent, happened))


def _is_plausible(timestamp: int) -> bool:
    """Whether milliseconds are a time from 2000 on that `datetime` can express."""
    return _FIRST_TIME.timestamp() * 1000 <= timestamp < _LAST_TIME.timestamp() * 1000


def _stated_time(text: Any) -> datetime | None:
    try:
        return _TIME.validate_python(text)
    except ValidationError:
        return None
