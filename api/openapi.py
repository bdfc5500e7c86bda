"""The OpenAPI document: the responses of the routes, each with a model and an example.

Routes use these in `responses=`; `DocumentedApi` generates the document. `api.docs` is the page
that shows it.
"""

from types import UnionType
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from api.schemas import (
    Accepted,
    InsufficientStock,
    Problem,
    ProductNotAccepted,
    ValidationProblem,
)
from models.cart import CartView

Responses = dict[int | str, dict[str, Any]]
Headers = dict[str, dict[str, Any]]


def _header(name: str, description: str, *, example: str | None = None, **schema: Any) -> Headers:
    """A response header; `schema` replaces the schema of a string."""
    header: dict[str, Any] = {"description": description, "schema": schema or {"type": "string"}}
    return {name: header if example is None else header | {"example": example}}


_ANY_ANSWER = _header(
    "X-Request-Id", "The request's id: sent by the client, or generated."
) | _header(
    "X-Trace-Id",
    "The id of the request's trace, if tracing is on.",
    type="string",
    pattern="^[0-9a-f]{32}$",
)
RETRY_AFTER = _header(
    "Retry-After", "Seconds to wait before a retry with the same idempotency key.", type="integer"
)
IDEMPOTENCY_KEY = _header(
    "Idempotency-Key", "The request's idempotency key: sent by the client, or generated."
)
REPLAYED = _header(
    "Idempotent-Replayed",
    "`true` if this is the response to an earlier request with this key.",
    type="string",
    enum=["true"],
)
ETAG = _header(
    "ETag",
    "The cart's version, for `If-Match` and `If-None-Match`.",
    example='"1-507f1f77bcf86cd799439013"',
)
LOCATION = _header(
    "Location", "The URL of the operation's status.", type="string", format="uri-reference"
)


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
NO_STOCK_EXAMPLE = {
    "message": "Insufficient stock. Only 1 available.",
    "code": "insufficient_stock",
    "available": 1,
}
OPERATION_ID_EXAMPLE = "9f86d081884c7d659a2feaa0c55ad015"


def described(
    model: type[BaseModel] | UnionType, description: str, *headers: Headers, **examples: Any
) -> dict[str, Any]:
    """A response: its model, with one example or several named ones."""
    if len(examples) == 1:
        content: dict[str, Any] = {"example": next(iter(examples.values()))}
    else:
        content = {"examples": {name: {"value": value} for name, value in examples.items()}}
    merged: Headers = {}
    for header in (_ANY_ANSWER, *headers):
        merged |= header
    return {
        "model": model,
        "description": description,
        "headers": merged,
        "content": {"application/json": content},
    }


def message(description: str, text: str, *headers: Headers, **more: Any) -> dict[str, Any]:
    """A `Problem` response."""
    return described(Problem, description, *headers, example={"message": text, **more})


def validation_failed(**examples: tuple[str, str]) -> dict[str, Any]:
    """A 400 response; each example is a field and an error message."""
    return described(ValidationProblem, "The request is invalid.", **_invalid(examples))


def not_added(**examples: tuple[str, str]) -> dict[str, Any]:
    """The 400 response of an add: the request is invalid, or its product is."""
    return described(
        ValidationProblem | ProductNotAccepted,
        "The request is invalid, or the product cannot be reserved.",
        **_invalid(examples),
        product=_NOT_ACCEPTED_EXAMPLE,
    )


def not_updated(**examples: tuple[str, str]) -> dict[str, Any]:
    """The 400 response of an update, which may also lack stock."""
    return described(
        ValidationProblem | InsufficientStock | ProductNotAccepted,
        "The request is invalid, there is not enough stock, or the product cannot be reserved.",
        **_invalid(examples),
        product=_NOT_ACCEPTED_EXAMPLE,
        stock=NO_STOCK_EXAMPLE,
    )


_NOT_ACCEPTED_EXAMPLE = {
    "message": "This product cannot be reserved",
    "code": "product_not_accepted",
}


def _invalid(examples: dict[str, tuple[str, str]]) -> dict[str, Any]:
    return {
        name: {"error": "Validation failed", "details": [{"field": field, "message": text}]}
        for name, (field, text) in examples.items()
    }


def changed(
    model: type[BaseModel] | UnionType, description: str, *headers: Headers, **examples: Any
) -> dict[str, Any]:
    """The response to a change of a cart; a repeated key gets the same response."""
    return described(model, description, IDEMPOTENCY_KEY, REPLAYED, *headers, **examples)


SERVER_ERROR = message("Unexpected error.", "Internal server error")
PROTECTED: Responses = {
    401: message(
        "The token is missing, expired or invalid.",
        "Token has expired",
        _header("WWW-Authenticate", "The authentication scheme.", type="string", enum=["Bearer"]),
    ),
    406: message(
        "`Accept` does not allow JSON.", "Answers are application/json, which Accept does not allow"
    ),
    413: message("The request body is too large.", "Request body is larger than 65536 bytes"),
    429: message(
        "Too many requests from this user or address.",
        "Too many requests: at most 300 a minute",
        RETRY_AFTER,
        code="rate_limited",
    ),
    500: SERVER_ERROR,
}
STORAGE_UNAVAILABLE = message(
    "A required system is unavailable.",
    "Cart storage is unavailable; nothing was changed, try again",
    RETRY_AFTER,
    code="mongodb_unavailable",
)
BAD_STORE_ID = validation_failed(
    storeId=("storeId", "storeId must be 1 to 64 letters, digits, _ or -")
)
CART_READ: Responses = {
    200: described(CartView, "The cart.", ETAG, cart=CART_EXAMPLE),
    304: {"description": "The client already has this version.", "headers": _ANY_ANSWER | ETAG},
    503: STORAGE_UNAVAILABLE,
}
"""The responses of every route that reads a cart."""
MUTATION: Responses = {
    202: described(
        Accepted,
        "The operation has started and is still running.",
        IDEMPOTENCY_KEY,
        LOCATION,
        RETRY_AFTER,
        example={
            "message": "Cart operation accepted",
            "status": "pending",
            "operationId": OPERATION_ID_EXAMPLE,
        },
    ),
    409: message(
        "Another operation on the cart, or with the same key, is running.",
        "Cart operation already in progress",
        IDEMPOTENCY_KEY,
        RETRY_AFTER,
    ),
    412: message(
        "The cart has changed: no entity tag in `If-Match` matches.",
        "Cart has changed: its ETag is none of If-Match",
        IDEMPOTENCY_KEY,
        code="precondition_failed",
    ),
    422: message(
        "The idempotency key was used for a different request.",
        "Idempotency key was already used for a different request",
        IDEMPOTENCY_KEY,
        code="idempotency_key_reused",
    ),
    503: described(
        Problem,
        "A required system is unavailable and the operation was rolled back, or changes in the "
        "store are paused.",
        IDEMPOTENCY_KEY,
        RETRY_AFTER,
        unavailable={"message": "Unable to reserve inventory"},
        paused={
            "message": "Cart changes in this store are paused; try again",
            "code": "intake_held",
        },
    ),
}
"""The responses of every route that changes a cart."""
NOT_JSON = message("The body is not JSON.", "Content-Type must be application/json")
MUTATION_WITH_BODY: Responses = {**MUTATION, 415: NOT_JSON}


class DocumentedApi(FastAPI):
    """FastAPI without parts of its document that do not apply: 422 bodies, generated titles."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            _correct(super().openapi())
        return super().openapi()


def _correct(document: dict[str, Any]) -> None:
    schemas: dict[str, Any] = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    parameters: list[dict[str, Any]] = []
    bodies: list[dict[str, Any]] = []
    for operation in (one for path in document["paths"].values() for one in path.values()):
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]
        parameters += operation.get("parameters", ())
        bodies += operation.get("requestBody", {}).get("content", {}).values()
    for one in (*parameters, *bodies):
        one["schema"] = _unless_null(one["schema"])
    for schema in (*schemas.values(), *(one["schema"] for one in parameters)):
        schema.pop("title", None)
        for part in schema.get("properties", {}).values():
            part.pop("title", None)


def _unless_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Optional parameters and bodies are left out of a request; they are never null."""
    match schema:
        case {"anyOf": [kind, {"type": "null"}], **more}:
            return {**kind, **more}
    return schema
