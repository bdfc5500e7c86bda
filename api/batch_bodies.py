"""The request and the answer of a batch: several changes of a cart at once.

Each operation has the fields and the rules of its own route. They are described as one model,
because a union would have no usable type in generated clients.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, model_validator

from api.error_codes import ErrorCode
from api.fields import EMAIL_PATTERN, MAX_EMAIL, EntityId, IdempotencyKey, Images, Price
from api.schemas import AddedItemBody, RemoveItemBody, RequestBody, ResponseBody
from models.batch import MAX_STEPS, BatchMode, StepKind
from models.cart import CartView
from models.limits import MAX_QUANTITY
from models.products import Description, Title
from models.wire import Absent


class _SetBody(RequestBody):
    product_id: EntityId
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)]


_BODIES: dict[Any, type[RequestBody]] = {
    "add": AddedItemBody,
    "set": _SetBody,
    "remove": RemoveItemBody,
}


class BatchOperationBody(RequestBody):
    """One change. `add` has the fields of the route that adds an item, `set` has `productId` and
    `quantity`, `remove` has `productId`."""

    op: StepKind = Field(
        description="`add` units of a product, `set` the quantity of an item, or `remove` it."
    )
    product_id: EntityId
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY)] | None = Field(
        None, description="Required but for `remove`: the units to add, or the new quantity."
    )
    product_title: Title | None = Field(None, description="Required for `add`.")
    product_price: Price | None = Field(
        None, description="Required for `add`: the price of one unit."
    )
    product_image: Images | None = None
    product_description: Description | None = None
    seller_id: EntityId | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _as_its_route(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        op = value.get("op") if isinstance(value, dict) else None
        if isinstance(op, str) and op in _BODIES:
            fields = {name: one for name, one in value.items() if name != "op"}
            _BODIES[op].model_validate(fields)
        return handler(value)


class BatchBody(RequestBody):
    """The changes, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "operations": [
                        {
                            "op": "add",
                            "productId": "507f1f77bcf86cd799439011",
                            "productTitle": "Wireless Headphones",
                            "productPrice": 79.99,
                            "quantity": 2,
                        },
                        {"op": "set", "productId": "507f1f77bcf86cd799439012", "quantity": 1},
                        {"op": "remove", "productId": "507f1f77bcf86cd799439013"},
                    ],
                    "mode": "all_or_nothing",
                }
            ]
        }
    )

    operations: Annotated[list[BatchOperationBody], Field(min_length=1, max_length=MAX_STEPS)]
    mode: BatchMode = Field(
        "all_or_nothing",
        description="`all_or_nothing`: all operations, or none. `best_effort`: those that can be "
        "done.",
    )
    email: Annotated[str, Field(max_length=MAX_EMAIL, pattern=EMAIL_PATTERN)] | None = Field(
        None, description="The user's email address; the token's `email` claim takes precedence."
    )
    idempotency_key: IdempotencyKey | None = Field(
        None, description="Same as the `Idempotency-Key` header."
    )


class BatchOutcome(ResponseBody):
    """What became of an operation."""

    op: StepKind
    product_id: str
    status: Literal["done", "refused"]
    code: ErrorCode | None = Absent
    """Why it was refused."""
    available: int | None = Absent
    """With `insufficient_stock`: how many `add` can add, or the largest quantity for `set`."""
    current: int | None = Absent
    """With a limit of the cart: what the cart had of it already."""
    limit: int | None = Absent
    """With a limit of the cart: the limit."""


class BatchCart(CartView):
    """The cart after a batch."""

    outcomes: list[BatchOutcome] | None = Absent
    """With `best_effort`: what became of each operation, in their order."""
