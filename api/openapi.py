"""The responses of the routes for the OpenAPI document, each with a model, headers and examples.

Routes use these in `responses=`; `api.openapi_document` generates the document. Examples of errors
are made by the functions that answer with them.
"""

import json
from typing import Any

from pydantic import BaseModel

from api import openapi_headers as shown
from api.error_codes import ErrorCode
from api.errors import (
    Answer,
    abort_answer,
    in_progress,
    invalid,
    not_found,
    prices_unavailable,
    problem,
    refusal_answer,
    server_error,
    unauthorized,
    unknown_product,
)
from api.field_problems import broken
from api.openapi_headers import Headers
from api.schemas import Accepted, FieldProblem, Problem
from models.cart import CartView
from models.operations import AddItem, Checkout, ExtendHolds, UpdateQuantity
from models.outcomes import AbortReason, MissingUnits, Refusal, RefusalCode

Responses = dict[int | str, dict[str, Any]]

EXAMPLES = "x-examples"
"""The key of a response's examples, until `api.openapi_document` puts them in their place."""

OPERATION_ID_EXAMPLE = "9f86d081884c7d659a2feaa0c55ad015"


def _link(operation_id: str, **parameters: str) -> dict[str, Any]:
    return {"operationId": operation_id, "parameters": parameters}


_STORE_ID = "$request.path.storeId"
_CART_ID = "$response.body#/_id"
CART_LINKS = {
    "readTheCart": _link("getCart", storeId=_STORE_ID),
    "readTheCartById": _link("getCartById", id=_CART_ID),
    "changeTheQuantity": _link("updateQuantity", id=_CART_ID),
    "removeTheItem": _link("removeItemByPath", id=_CART_ID, productId="$request.body#/productId"),
    "removeAnItem": _link("removeItem", id=_CART_ID),
    "clearTheCart": _link("clearCart", storeId=_STORE_ID),
}
"""The operations that can follow on a returned cart."""

CART_EXAMPLE: dict[str, Any] = {
    "_id": "507f1f77bcf86cd799439013",
    "userId": "507f1f77bcf86cd799439014",
    "storeId": "507f1f77bcf86cd799439015",
    "sellerId": "507f1f77bcf86cd799439012",
    "fullName": "John Doe",
    "quantity": 2,
    "totalPrice": 159.98,
    "currency": "USD",
    "cartItems": [
        {
            "productId": "507f1f77bcf86cd799439011",
            "productTitle": "Wireless Headphones",
            "productImage": ["https://example.com/image.jpg"],
            "productPrice": 79.99,
            "priceSource": "client",
            "productQuantity": 2,
            "productDescription": "Premium wireless headphones",
            "sellerId": "507f1f77bcf86cd799439012",
            "availabilityStatus": "available",
            "unavailabilityReason": None,
            "reservedAt": "2026-01-27T10:30:00.000Z",
        }
    ],
    "expireAt": "2026-02-26T10:30:00.000Z",
    "version": 1,
    "createdAt": "2026-01-27T10:30:00.000Z",
    "updatedAt": "2026-01-27T10:30:00.000Z",
}
HISTORY_EXAMPLE: dict[str, Any] = {
    "cartId": "507f1f77bcf86cd799439013",
    "changes": [
        {
            "version": 2,
            "at": "2026-01-27T10:35:00.000Z",
            "operation": "UpdateQuantity",
            "changedBy": "admin",
            "items": [
                {
                    "productId": "507f1f77bcf86cd799439011",
                    "quantityBefore": 2,
                    "quantityAfter": 1,
                    "productPrice": 79.99,
                }
            ],
        }
    ],
    "nextCursor": "2",
}
HISTORY_OF_ADMIN_EXAMPLE: dict[str, Any] = HISTORY_EXAMPLE | {
    "changes": [
        HISTORY_EXAMPLE["changes"][0]
        | {
            "actor": {"type": "admin", "id": "507f1f77bcf86cd799439016"},
            "operationId": OPERATION_ID_EXAMPLE,
            "sagaUrl": "http://127.0.0.1:8233/namespaces/default/workflows/cart%2Fshop%2Fjane",
        }
    ]
}
CHECKOUT_EXAMPLE = {
    "checkoutId": "4bbf0b2d5c0f4b7f9f9f6f0e0ab1c2d3",
    **{
        name: CART_EXAMPLE[name]
        for name in ("cartItems", "quantity", "totalPrice", "currency", "version")
    },
    "expiresAt": "2026-01-27T10:45:00.000Z",
}
EMPTY_CART_EXAMPLE = CART_EXAMPLE | {
    "sellerId": None,
    "quantity": 0,
    "totalPrice": 0.0,
    "cartItems": [],
    "version": 2,
}


def described(
    model: type[BaseModel], description: str, *headers: Headers, **examples: Any
) -> dict[str, Any]:
    """A response: its model, with one example or several named ones."""
    if len(examples) == 1:
        content: dict[str, Any] = {"example": next(iter(examples.values()))}
    else:
        content = {"examples": {name: {"value": value} for name, value in examples.items()}}
    # As text, because FastAPI would drop what is null.
    content = {EXAMPLES: json.dumps(content)}
    return {
        "model": model,
        "description": description,
        "headers": shown.merged(*headers),
        "content": {"application/json": content},
    }


def refused(description: str, *headers: Headers, **answers: Answer) -> dict[str, Any]:
    """A `Problem` response; each example is an answer of the service."""
    examples = {name: json.loads(answer.body) for name, answer in answers.items()}
    return described(Problem, description, shown.LIMITED, *headers, **examples)


def validation_failed(**details: FieldProblem) -> dict[str, Any]:
    """A 400 response; each example is a broken rule."""
    answers = {name: invalid(detail) for name, detail in details.items()}
    return refused("The request is invalid.", **answers)


def changed(
    model: type[BaseModel], description: str, *headers: Headers, **examples: Any
) -> dict[str, Any]:
    """The response to a change of a cart; a repeated key gets the same response."""
    change = (shown.LIMITED, shown.SAGA_LINK, shown.IDEMPOTENCY_KEY, shown.REPLAYED)
    return described(model, description, *change, *headers, **examples)


def read(
    model: type[BaseModel], description: str, *headers: Headers, **examples: Any
) -> dict[str, Any]:
    """The response to an authenticated read."""
    return described(model, description, shown.LIMITED, *headers, **examples)


def streamed(media_type: str, description: str, example: str) -> dict[str, Any]:
    """The response to an authenticated read that is text, and goes on."""
    content = {"schema": {"type": "string"}, EXAMPLES: json.dumps({"example": example})}
    return {
        "description": description,
        "headers": shown.merged(shown.LIMITED),
        "content": {media_type: content},
    }


def _refusal(operation: str, code: RefusalCode, *, strict: bool = False, **facts: Any) -> Answer:
    return refusal_answer(operation, Refusal(code=code, **facts), strict=strict)


_NO_STOCK = _refusal(AddItem.name, RefusalCode.INSUFFICIENT_STOCK, available=1)
NO_STOCK_EXAMPLE = json.loads(_NO_STOCK.body)
_LIMITS = {
    "units": _refusal(AddItem.name, RefusalCode.UNIT_LIMIT, current=499, limit=500),
    "value": _refusal(AddItem.name, RefusalCode.VALUE_LIMIT, limit=5000),
    "product": _refusal(AddItem.name, RefusalCode.PRODUCT_NOT_ACCEPTED),
}
_FROZEN = _refusal(UpdateQuantity.name, RefusalCode.CART_CHECKED_OUT)
NOT_ADDED: Responses = {
    # A range and not 200, which generators would take for the type of every add.
    "2XX": refused(
        "200: not enough stock; nothing was changed. With `Prefer: handling=strict` it is 409.",
        shown.IDEMPOTENCY_KEY,
        stock=_NO_STOCK,
    ),
    400: refused(
        "The request is invalid, the cart would exceed a limit, or the product is unknown or "
        "cannot be reserved.",
        shown.IDEMPOTENCY_KEY,
        shown.PREFERENCE_APPLIED,
        quantity=invalid(broken("quantity", ErrorCode.OUT_OF_RANGE)),
        json=invalid(
            FieldProblem(
                code=ErrorCode.MALFORMED_JSON,
                field="body",
                message="Body is not valid JSON: Expecting value at line 1, column 1",
            )
        ),
        limit=_refusal(AddItem.name, RefusalCode.QUANTITY_LIMIT, current=99, limit=100),
        lines=_refusal(AddItem.name, RefusalCode.LINE_LIMIT, current=100, limit=100),
        unknown=unknown_product("507f1f77bcf86cd799439011").answer,
        size=_refusal(AddItem.name, RefusalCode.SIZE_LIMIT, current=262_200, limit=262_144),
        **_LIMITS,
    ),
    409: refused(
        "Another operation on the cart, or with the same key, is running; or the cart has items in "
        "another currency, or is checked out; or, with `Prefer: handling=strict`, there is not "
        "enough stock.",
        shown.IDEMPOTENCY_KEY,
        shown.RETRY_AFTER,
        shown.PREFERENCE_APPLIED,
        running=in_progress(),
        currency=_refusal(
            AddItem.name, RefusalCode.CURRENCY_MISMATCH, cart_currency="USD", currency="EUR"
        ),
        stock=_refusal(AddItem.name, RefusalCode.INSUFFICIENT_STOCK, strict=True, available=1),
        frozen=_FROZEN,
    ),
}
"""The responses of an add that changed nothing."""
NOT_UPDATED = refused(
    "The request is invalid, there is not enough stock, the cart would exceed a limit, or the "
    "product cannot be reserved.",
    shown.IDEMPOTENCY_KEY,
    quantity=invalid(
        broken(
            "quantity",
            ErrorCode.OUT_OF_RANGE,
            "Quantity must be between 1 and 100; to remove the item use DELETE",
        )
    ),
    id=invalid(broken("id", ErrorCode.INVALID_FORMAT)),
    limit=_refusal(UpdateQuantity.name, RefusalCode.QUANTITY_LIMIT, current=2, limit=50),
    stock=_refusal(UpdateQuantity.name, RefusalCode.INSUFFICIENT_STOCK, available=1, current=2),
    **_LIMITS,
)
"""The 400 response of an update."""
_MISSING = _refusal(
    ExtendHolds.name,
    RefusalCode.INSUFFICIENT_STOCK,
    lines=(MissingUnits(product_id="507f1f77bcf86cd799439011", wanted=2, available=1),),
)
NOT_HELD = refused(
    "Units of some items cannot be reserved; nothing was changed. Or another operation on the "
    "cart, or with the same key, is running.",
    shown.IDEMPOTENCY_KEY,
    shown.RETRY_AFTER,
    stock=_MISSING,
    running=in_progress(),
    frozen=_FROZEN,
)
"""The 409 response of an operation that reserves several items."""
NOT_CHECKED_OUT = refused(
    "Units of some items cannot be reserved, or the cart is empty, or checked out already; nothing "
    "was changed. Or another operation on the cart, or with the same key, is running.",
    shown.IDEMPOTENCY_KEY,
    shown.RETRY_AFTER,
    stock=_MISSING,
    empty=_refusal(Checkout.name, RefusalCode.CART_EMPTY),
    running=in_progress(),
    frozen=_FROZEN,
)
"""The 409 response of a checkout."""

_ANYWHERE: Responses = {
    414: refused("The URL is too long.", long=problem(414, "The URL is too long")),
    431: refused(
        "The headers are too large.", large=problem(431, "The headers of the request are too large")
    ),
}
PUBLIC = _ANYWHERE
"""The responses of every route."""
WITHOUT_TOKEN: Responses = {
    406: refused(
        "`Accept` does not allow JSON.",
        accept=problem(406, "Answers are application/json, which Accept does not allow"),
    ),
    408: refused(
        "The request did not arrive in time.",
        slow=problem(408, "The request did not arrive in time"),
    ),
    413: refused(
        "The request body is too large.",
        large=problem(413, "Request body is larger than 65536 bytes", limit=65_536),
    ),
    429: refused(
        "Too many requests from this user or address.",
        shown.RETRY_AFTER,
        limit=problem(429, "Too many requests: at most 300 a minute", limit=300),
    ),
    500: refused("Unexpected error.", shown.IDEMPOTENCY_KEY, unexpected=server_error()),
    **_ANYWHERE,
}
"""The responses of every route with a rate limit."""
PROTECTED: Responses = {
    401: refused(
        "The token is missing, expired or invalid.",
        shown.AUTHENTICATE,
        expired=unauthorized(
            "Token has expired", reason="expired", code=ErrorCode.TOKEN_EXPIRED
        ).answer,
        missing=unauthorized(
            "Authentication required: no bearer token was sent",
            reason="no token",
            code=ErrorCode.TOKEN_MISSING,
        ).answer,
        invalid=unauthorized("Token is invalid", reason="malformed").answer,
    ),
    **WITHOUT_TOKEN,
}
"""The responses of every route that needs a token."""
_STREAMS = ErrorCode.TOO_MANY_STREAMS
NOT_STREAMED = refused(
    "`Accept` does not allow `text/event-stream`.",
    accept=problem(406, "Answers are text/event-stream, which Accept does not allow"),
)
NO_ROOM_FOR_USER = refused(
    "Too many requests from this user or address, or too many streams of this user.",
    shown.RETRY_AFTER,
    limit=problem(429, "Too many requests: at most 300 a minute", limit=300),
    streams=problem(
        429, "Too many live carts are open: at most 5 for a user", code=_STREAMS, limit=5
    ),
)
NO_ROOM = refused(
    "A required system is unavailable, or the process has no room for another stream.",
    shown.RETRY_AFTER,
    mongodb=abort_answer(AbortReason.MONGODB_UNAVAILABLE),
    streams=problem(
        503,
        "Too many live carts are open; get the cart from time to time instead",
        code=_STREAMS,
    ),
)
STORAGE_UNAVAILABLE = refused(
    "A required system is unavailable.",
    shown.RETRY_AFTER,
    mongodb=abort_answer(AbortReason.MONGODB_UNAVAILABLE),
)
BAD_STORE_ID = validation_failed(storeId=broken("storeId", ErrorCode.INVALID_FORMAT))
NO_CART = not_found(ErrorCode.CART_NOT_FOUND).answer
NO_CHECKOUT = not_found(ErrorCode.CHECKOUT_NOT_FOUND).answer
NO_ITEM = not_found(ErrorCode.ITEM_NOT_FOUND).answer
CART_READ: Responses = {
    200: read(CartView, "The cart.", shown.ETAG, shown.SAGA_LINK, cart=CART_EXAMPLE),
    304: {
        "description": "The client already has this version.",
        "headers": shown.merged(shown.LIMITED, shown.ETAG, shown.SAGA_LINK),
    },
    503: STORAGE_UNAVAILABLE,
}
"""The responses of every route that reads a cart."""
MUTATION: Responses = {
    202: described(
        Accepted,
        "The operation has started and is still running.",
        shown.LIMITED,
        shown.SAGA_LINK,
        shown.IDEMPOTENCY_KEY,
        shown.PREFERENCE_APPLIED,
        shown.LOCATION,
        shown.RETRY_AFTER,
        example={
            "message": "Cart operation accepted",
            "status": "pending",
            "operationId": OPERATION_ID_EXAMPLE,
        },
    ),
    409: refused(
        "Another operation on the cart, or with the same key, is running; or the cart is checked "
        "out.",
        shown.IDEMPOTENCY_KEY,
        shown.RETRY_AFTER,
        running=in_progress(),
        frozen=_FROZEN,
    ),
    412: refused(
        "No entity tag in `If-Match` is the cart's, or one in `If-None-Match` is.",
        shown.IDEMPOTENCY_KEY,
        changed=_refusal(UpdateQuantity.name, RefusalCode.PRECONDITION_FAILED),
    ),
    422: refused(
        "The idempotency key was used for a different request.",
        shown.IDEMPOTENCY_KEY,
        reused=_refusal(AddItem.name, RefusalCode.IDEMPOTENCY_KEY_REUSED),
    ),
    503: refused(
        "A required system is unavailable and the operation was rolled back, or changes in the "
        "store are paused.",
        shown.IDEMPOTENCY_KEY,
        shown.RETRY_AFTER,
        unavailable=abort_answer(AbortReason.INVENTORY_UNAVAILABLE),
        prices=prices_unavailable(),
        paused=problem(
            503, "Cart changes in this store are paused; try again", code=ErrorCode.INTAKE_HELD
        ),
    ),
}
"""The responses of every route that changes a cart."""
NOT_JSON = refused(
    "The body is not JSON.", type=problem(415, "Content-Type must be application/json")
)
MUTATION_WITH_BODY: Responses = {**MUTATION, 415: NOT_JSON}
