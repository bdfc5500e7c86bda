"""Effects: what an operation still has to do outside MongoDB once its record is written.

They are stored in the operation's record (a transactional outbox), by the same transaction as the
cart, and are done by the saga or, where that fails, by a relay.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.wire import CAMEL_CASE


class EffectKind(StrEnum):
    """The system that an effect is for: Kafka, or the Inventory Service."""

    EVENT = "event"
    RELEASE = "release"


class Effect(BaseModel):
    """Base of the effects. Pending until `done_at` is set."""

    model_config = ConfigDict(**CAMEL_CASE, frozen=True, extra="forbid")

    id: str
    done_at: datetime | None = None
    skipped_because: str | None = None
    """An operator's reason, when the effect was skipped instead of done."""


class EventEffect(Effect):
    """An event to publish. `value` is its exact JSON text, the same on every retry.

    `traceparent` is the span that produced it (W3C Trace Context), when the operation was traced.
    """

    kind: Literal["event"] = "event"
    topic: str
    key: str
    value: str
    time: datetime
    traceparent: str | None = None


class ReleaseEffect(Effect):
    """Units to give back to the inventory. `saga_id` identifies the release there."""

    kind: Literal["release"] = "release"
    product_id: str
    quantity: int
    saga_id: str
    reason: str
    order_id: str | None = None


AnyEffect = Annotated[EventEffect | ReleaseEffect, Field(discriminator="kind")]
