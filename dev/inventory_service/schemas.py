"""What travels over HTTP: one strict model for each request and each answer.

JSON names are camelCase; unknown fields are refused and nothing is coerced, so `"1"`, `1.0` and
`true` are not quantities. What is not here: rules that need the stock (`store.py`), and the fault
injection's own models (`faults.py`).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

# The reason of an undo: with no reserve to undo, it is recorded and moves nothing.
SAGA_ABORTED = "saga_aborted"
# The reason that books what was held as sold instead of making it available again.
ORDER_COMPLETED = "order_completed"

PAGE_DEFAULT = 100
PAGE_MAX = 1000
_ID_CHARACTERS = "[A-Za-z0-9_-]{1,64}"

EntityId = Annotated[str, Field(pattern=f"^{_ID_CHARACTERS}$")]
SagaId = Annotated[str, Field(pattern=r"^[!-~]{1,255}$")]
Quantity = Annotated[int, Field(ge=1, le=1_000_000)]
# Far below 2^63, so that no sum of stock and holds can overflow in the database.
Available = Annotated[int, Field(ge=0, le=10**12)]


class _Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
    )


class _Action(_Model):
    """What identifies an action: it is idempotent by store, product and saga."""

    store_id: EntityId
    product_id: EntityId
    quantity: Quantity
    user_id: EntityId
    saga_id: SagaId


class ReserveRequest(_Action):
    reservation_type: Literal["cart"]


class ReleaseRequest(_Action):
    reason: Annotated[str, Field(min_length=1, max_length=64)]
    order_id: EntityId | None = None


class StockRequest(_Model):
    available: Available


class StoreQuery(_Model):
    store_id: EntityId


class ReservationsQuery(_Model):
    # Query parameters arrive as text, so `limit` has to be read from it.
    model_config = ConfigDict(strict=False)

    store_id: EntityId
    user_id: EntityId | None = None
    product_id: EntityId | None = None
    # The last row of the page before, `user~product`; clients hand it back as they got it.
    cursor: Annotated[str | None, Field(pattern=f"^{_ID_CHARACTERS}~{_ID_CHARACTERS}$")] = None
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class ReserveAnswer(_Model):
    """200 when `success`, else 409; `message` says why when it is not for lack of stock."""

    success: bool
    available: int
    reservation_id: str | None = None
    message: str | None = None


class ReleaseAnswer(_Model):
    success: Literal[True]
    released: int


class StockAnswer(_Model):
    """Units of one product; their sum changes only when the stock is set."""

    available: int
    held: int
    sold: int


class Reservation(_Model):
    user_id: str
    product_id: str
    quantity: int


class ReservationsPage(_Model):
    """Ordered by user and product; `cursor` asks for the next page and is null on the last."""

    reservations: list[Reservation]
    cursor: str | None


class HealthAnswer(_Model):
    status: Literal["healthy", "unhealthy"]


class Problem(_Model):
    message: str


class FieldProblem(_Model):
    field: str
    message: str


class ValidationProblem(_Model):
    error: Literal["Validation failed"]
    details: list[FieldProblem]
