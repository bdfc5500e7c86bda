"""How an operation ends: its outcome, and why it was refused or aborted."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel

from models.drift import Drift
from models.effects import EffectKind
from models.message import Message
from models.saga import SagaRun
from models.wire import CAMEL_CASE

Status = Literal["committed", "rejected", "aborted"]
"""An outcome as the operation's URL reports it."""


class Outcome(StrEnum):
    """How an operation ended. Only `committed` changed the cart."""

    COMMITTED = "committed"
    REPLAYED = "replayed"
    """An earlier run committed the same operation; its answer is given again."""
    UNCHANGED = "unchanged"
    """The cart already was as requested."""
    REJECTED = "rejected"
    """A business rule refused it (`Refusal`)."""
    ABORTED = "aborted"
    """It was undone for a passing reason (`AbortReason`); the same key may try again."""

    @property
    def status(self) -> Status:
        """The outcome as the operation's URL reports it."""
        match self:
            case Outcome.REJECTED:
                return "rejected"
            case Outcome.ABORTED:
                return "aborted"
            case _:
                return "committed"


class RefusalCode(StrEnum):
    """The business rules that can refuse an operation."""

    INSUFFICIENT_STOCK = "insufficient_stock"
    PRODUCT_NOT_ACCEPTED = "product_not_accepted"
    """The inventory takes no reservation of the product, however often it is asked."""
    QUANTITY_LIMIT = "quantity_limit"
    LINE_LIMIT = "line_limit"
    UNIT_LIMIT = "unit_limit"
    VALUE_LIMIT = "value_limit"
    SIZE_LIMIT = "size_limit"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    CART_NOT_FOUND = "cart_not_found"
    ITEM_NOT_FOUND = "item_not_found"
    CART_EMPTY = "cart_empty"
    """There is nothing to check out."""
    CART_CHECKED_OUT = "cart_checked_out"
    """The cart is frozen until its checkout ends."""
    CHECKOUT_NOT_FOUND = "checkout_not_found"
    ORDER_CANCELLED = "order_cancelled"
    """The order was cancelled before it was reported as completed."""
    PRECONDITION_FAILED = "precondition_failed"
    CURRENCY_MISMATCH = "currency_mismatch"
    """The cart has lines in another currency."""


class AbortReason(StrEnum):
    """Why an operation was undone."""

    DEADLINE = "deadline"
    OPERATOR = "operator"
    CANCELLED = "cancelled"
    REPLAYED = "replayed"
    """An earlier saga had committed the same operation."""
    CONFLICT = "conflict"
    """The cart was changed by something other than its sagas."""
    MONGODB_UNAVAILABLE = "mongodb_unavailable"
    INVENTORY_UNAVAILABLE = "inventory_unavailable"
    REDIS_UNAVAILABLE = "redis_unavailable"
    RESET = "reset"
    """An operator reset its run, which had not committed."""
    TERMINATED = "terminated"
    """Its run was ended from outside, without an undo."""
    UNEXPECTED = "unexpected"
    """A defect; the run fails once it is undone."""


class MissingUnits(Message):
    """A product of which an operation must reserve `wanted` units, and cannot have them.

    `available` is how many there are; None where the inventory does not tell. `accepted` is False
    when the inventory takes no reservation of the product.
    """

    product_id: str
    wanted: int
    available: int | None = None
    accepted: bool = True


class Refusal(Message):
    """Why a business rule refused an operation.

    The numbers belong to the code: units, lines, bytes or, for `value_limit`, an amount in the
    cart's currency. `available` is None where the inventory does not tell. With too little stock
    `current` are the units that are held for the line; an operation on several lines has `lines`
    instead, those that cannot be had. `cart_currency` and `currency` are those of the cart and of
    the operation. `step` is the place of what was refused in a batch.
    """

    code: RefusalCode
    available: int | None = None
    current: int | None = None
    limit: int | None = None
    cart_currency: str | None = None
    currency: str | None = None
    lines: tuple[MissingUnits, ...] = ()
    step: int | None = None


class Refused(Exception):
    """A business rule refuses the operation."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


class StoredAnswer(BaseModel):
    """The client's answer: HTTP status and the exact JSON text of the body.

    In a record `body` is None when it is too large to be kept there
    (`models.documents.LargeAnswer`). A stored body has no name of the user: `sealed_name` is the
    name that belongs into it (`models.shopper`).
    """

    model_config = CAMEL_CASE

    status: int
    body: str | None
    sealed_name: str | None = None


class OperationResult(Message):
    """How an operation ended.

    `record_id` identifies the record that holds the answer (another saga's when `replayed`).
    `cart_id` and `version` are those of the committed cart. `pending` lists the kinds of effects
    still to be done. `drifts` is a repair's report. `answer` travels only on the reply channel,
    never through Temporal.
    """

    outcome: Outcome
    operation: str
    operation_id: str
    record_id: str
    saga_id: str
    cart_id: str | None = None
    version: int | None = None
    refusal: Refusal | None = None
    reason: AbortReason | None = None
    pending: tuple[EffectKind, ...] = ()
    drifts: tuple[Drift, ...] | None = None
    short: dict[str, int] | None = None
    answer: StoredAnswer | None = None

    @classmethod
    def of(cls, saga: SagaRun, outcome: Outcome, **more: Any) -> "OperationResult":
        """The result of a saga that has no record (yet)."""
        return cls(
            outcome=outcome,
            operation=saga.operation,
            operation_id=saga.operation_id,
            record_id=saga.record_id,
            saga_id=saga.saga_id,
            **more,
        )

    @property
    def why(self) -> str | None:
        """The refusal's code or the abort's reason, as plain text."""
        if self.refusal is not None:
            return self.refusal.code.value
        return self.reason.value if self.reason is not None else None
