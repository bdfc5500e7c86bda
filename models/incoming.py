"""Events that this service consumes: how a Kafka message is read, and what makes it unusable.

Fields that are not known are ignored: who sends an event may add to it. What is not in here: what
an event does (`workflows.event_handler`).
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from models.errors import EventUnusable
from models.events import CART_ITEM_OUT_OF_STOCK, INVENTORY_BACK_IN_STOCK, ORDER_COMPLETED
from models.wire import to_milliseconds

MAX_EVENT_BYTES = 256 * 1024
"""Of key, value and headers together. The largest event that makes sense is far smaller."""
_MAX_LINES = 1000

EntityId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
CartId = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{24}$")]
EventId = Annotated[str, Field(min_length=1, max_length=255)]
Reason = Annotated[str, Field(min_length=1, max_length=500)]
_TIME: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


@dataclass(frozen=True, slots=True)
class Message:
    """A Kafka message as it was received; `timestamp` is its own, in milliseconds."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int

    @property
    def size(self) -> int:
        """Bytes of all its parts."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers

    def header(self, name: str) -> str | None:
        """The text of a header, None when there is none that can be read."""
        for found, value in self.headers:
            if found == name and value:
                return value.decode(errors="replace")
        return None


_read = ConfigDict(
    alias_generator=to_camel,
    populate_by_name=True,
    frozen=True,
    extra="ignore",
    use_attribute_docstrings=True,
)


class Incoming(BaseModel):
    """What all consumed events may have: an id, when the CloudEvents header names none."""

    model_config = _read

    event_id: EventId | None = None
    """Names the event, the same on every delivery, where no header `ce_id` does."""
    timestamp: AwareDatetime | None = None
    """When it happened, where no header `ce_time` says so."""


class OrderedItem(BaseModel):
    """Units of a product that were ordered; without a quantity all of the line."""

    model_config = _read

    product_id: EntityId
    """What was ordered."""
    quantity: int | None = Field(None, ge=1)
    """Units that were ordered; without it, all that the cart has."""


class OrderCompleted(Incoming):
    """An order was paid. `items` or `cartVersion` say what of the cart it took, else all of it."""

    cart_id: CartId
    """The cart that was ordered."""
    user_id: EntityId
    """Whose cart it is; of another user's cart the event is parked."""
    store_id: EntityId
    """The store it is in; of another store's cart the event is parked."""
    order_id: EntityId
    """The order, which has one effect however often it is told."""
    items: tuple[OrderedItem, ...] | None = Field(None, min_length=1, max_length=_MAX_LINES)
    """What was ordered; the rest stays in the cart."""
    cart_version: int | None = Field(None, ge=1)
    """The version of the cart that was ordered; what came into it later stays."""


class UnavailableItem(BaseModel):
    """A product that cannot be had, and why."""

    model_config = _read

    product_id: EntityId
    """What cannot be had."""
    reason: Reason = "Out of stock"
    """What shoppers are told."""


class OutOfStock(Incoming):
    """Products cannot be had: those of a cart, or, without `cartId`, those of all carts.

    In place of `unavailableItems` a single product may be named, with its reason.
    """

    cart_id: CartId | None = None
    """The cart whose lines are marked; without it those of all carts."""
    store_id: EntityId | None = None
    """The store whose carts are marked; without it and without a cart, all stores."""
    unavailable_items: tuple[UnavailableItem, ...] | None = Field(
        None, min_length=1, max_length=_MAX_LINES
    )
    """What cannot be had; either this or `productId` is given."""
    product_id: EntityId | None = None
    """The one product that cannot be had."""
    reason: Reason = "Out of stock"
    """What shoppers are told of that product."""

    @model_validator(mode="after")
    def _names_products(self) -> Self:
        if (self.unavailable_items is None) == (self.product_id is None):
            raise ValueError("either unavailableItems or productId must be given")
        return self

    @property
    def items(self) -> tuple[UnavailableItem, ...]:
        """What cannot be had, however it was named."""
        if self.unavailable_items is not None:
            return self.unavailable_items
        return (UnavailableItem(product_id=str(self.product_id), reason=self.reason),)


class BackInStock(Incoming):
    """A product can be had again, in one store or (without `storeId`) wherever it is sold."""

    product_id: EntityId
    """What can be had again."""
    store_id: EntityId | None = None
    """The store in which; without it, all stores."""


Event = OrderCompleted | OutOfStock | BackInStock
CONSUMED: dict[str, type[Event]] = {
    ORDER_COMPLETED: OrderCompleted,
    CART_ITEM_OUT_OF_STOCK: OutOfStock,
    INVENTORY_BACK_IN_STOCK: BackInStock,
}
"""The topics that are consumed, and what their messages say."""


def read_event(message: Message) -> Event:
    """What a message says; raises `EventUnusable`."""
    if message.size > MAX_EVENT_BYTES:
        limit = f"{message.size} bytes, the limit is {MAX_EVENT_BYTES}"
        raise EventUnusable("too_large", limit)
    try:
        return CONSUMED[message.topic].model_validate_json(message.value or b"")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise EventUnusable("malformed", f"no JSON: {first['msg']}") from None
        where = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise EventUnusable("invalid", f"{where}: {what}" if where else what) from None


def event_id(message: Message, event: Event) -> str:
    """What names the event, the same on every delivery of it.

    An order is completed once, whatever messages say so. Other events are named by their sender
    (`ce_id`, `eventId`), or else by what they are: content and time, never the offset, which a
    broker that lost its data gives to another event.
    """
    if isinstance(event, OrderCompleted):
        return event.order_id
    named = message.header("ce_id") or event.event_id
    if named:
        return named[:255]
    digest = hashlib.sha256(f"{message.timestamp}|".encode())
    for part in (message.key or b"", message.value or b""):
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()


def event_time(message: Message, event: Event) -> datetime:
    """When the event happened: as its sender says, but not later than it was sent."""
    sent = datetime.fromtimestamp(max(message.timestamp, 0) / 1000, UTC)
    return to_milliseconds(
        min(sent, _stated_time(message.header("ce_time")) or event.timestamp or sent)
    )


def _stated_time(text: Any) -> datetime | None:
    try:
        return _TIME.validate_python(text)
    except ValidationError:
        return None
