"""The OpenAPI document: the responses of the routes, each with a model and an example.

Routes use these in `responses=`; `DocumentedApi` generates the document. `api.docs` is the page
that shows it.
"""

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

_ANY_ANSWER = {
    "X-Request-Id": {
        "description": "The request's id: sent by the client, or generated.",
        "schema": {"type": "string"},
    },
    "X-Trace-Id": {
        "description": "The id of the request's trace, if tracing is on.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    },
}
RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds to wait before a retry with the same idempotency key.",
        "schema": {"type": "integer"},
    }
}
IDEMPOTENCY_KEY = {
    "Idempotency-Key": {
        "description": "The request's idempotency key: sent by the client, or generated.",
        "schema": {"type": "string"},
    }
}
REPLAYED = {
    "Idempotent-Replayed": {
        "description": "`true` if this is the response to an earlier request with this key.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
ETAG = {
    "ETag": {
        "description": "The cart's version, for `If-Match` and `If-None-Match`.",
        "schema": {"type": "string"},
        "example": '"1-507f1f77bcf86cd799439013"',
    }
}
LOCATION = {
    "Location": {
        "description": "The URL of the operation's status.",
        "schema": {"type": "string", "format": "uri-reference"},
    }
}

CART_LINKS: dict[str, Any] = {
    "readTheCart": {
        "operationId": "getCart",
        "parameters": {"storeId": "$request.path.storeId"},
    },
    "readTheCartById": {
        "operationId": "getCartById",
        "parameters": {"id": "$response.body#/_id"},
    },
    "changeTheQuantity": {
        "operationId": "updateQuantity",
        "parameters": {"id": "$response.body#/_id"},
    },
    "removeTheItem": {
        "operationId": "removeItemByPath",
        "parameters": {
            "id": "$response.body#/_id",
            "productId": "$request.body#/productId",
        },
    },
    "removeAnItem": {
        "operationId": "removeItem",
        "parameters": {"id": "$response.body#/_id"},
    },
    "clearTheCart": {
        "operationId": "clearCart",
        "parameters": {"storeId": "$request.path.storeId"},
    },
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


def described(
    model: type[BaseModel], description: str, *headers: dict[str, Any], **examples: Any
) -> dict[str, Any]:
    """A response: its model, with one example or several named ones."""
    if len(examples) == 1:
        content: dict[str, Any] = {"example": next(iter(examples.values()))}
    else:
        content = {"examples": {name: {"value": value} for name, value in examples.items()}}
    merged = {name: header for part in (_ANY_ANSWER, *headers) for name, header in part.items()}
    return {
        "model": model,
        "description": description,
        "headers": merged,
        "content": {"application/json": content},
    }


def message(description: str, text: str, *headers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A `Problem` response."""
    return described(Problem, description, *headers, example={"message": text, **more})


def validation_failed(*headers: dict[str, Any], **examples: tuple[str, str]) -> dict[str, Any]:
    """A 400 response; each example is a field and an error message."""
    bodies = {
        name: {
            "error": "Validation failed",
            "details": [{"field": field, "message": text}],
        }
        for name, (field, text) in examples.items()
    }
    return described(ValidationProblem, "The request is invalid.", *headers, **bodies)


def changed(
    model: type[BaseModel], description: str, *headers: dict[str, Any], **examples: Any
) -> dict[str, Any]:
    """The response to a change of a cart; a repeated key gets the same response."""
    return described(model, description, IDEMPOTENCY_KEY, REPLAYED, *headers, **examples)


SERVER_ERROR = message("Unexpected error.", "Internal server error")
PROTECTED: Responses = {
    401: message(
        "The token is missing, expired or invalid.",
        "Token has expired",
        {
            "WWW-Authenticate": {
                "description": "The authentication scheme.",
                "schema": {"type": "string", "enum": ["Bearer"]},
            }
        },
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
    304: {
        "description": "The client already has this version.",
        "headers": _ANY_ANSWER | ETAG,
    },
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
            "operationId": "9f86d081884c7d659a2feaa0c55ad015",
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


def not_added(**examples: tuple[str, str]) -> dict[str, Any]:
    """The 400 response of an add: the request is invalid, or its product is."""
    response = validation_failed(**examples)
    response["model"] = ValidationProblem | ProductNotAccepted
    response["description"] = "The request is invalid, or the product cannot be reserved."
    response["content"]["application/json"]["examples"]["product"] = {"value": _NOT_ACCEPTED}
    return response


def not_updated(**examples: tuple[str, str]) -> dict[str, Any]:
    """The 400 response of an update, which may also lack stock."""
    response = not_added(**examples)
    response["model"] = ValidationProblem | InsufficientStock | ProductNotAccepted
    response["description"] = (
        "The request is invalid, there is not enough stock, or the product cannot be reserved."
    )
    response["content"]["application/json"]["examples"]["stock"] = {
        "value": {
            "message": "Insufficient stock. Only 1 available.",
            "code": "insufficient_stock",
            "available": 1,
        }
    }
    return response


_NOT_ACCEPTED = {
    "message": "This product cannot be reserved",
    "code": "product_not_accepted",
}


class DocumentedApi(FastAPI):
    """FastAPI without parts of its document that do not apply: 422 bodies, generated titles."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            for operation in _operations(document):
                reply = operation["responses"].get("422", {}).get("content", {})
                if "HTTPValidationError" in str(reply):
                    del operation["responses"]["422"]
            schemas = document.get("components", {}).get("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            for part in (*_parameters(document), *_bodies(document)):
                part["schema"] = _unless_null(part["schema"])
            for schema in (*schemas.values(), *(p["schema"] for p in _parameters(document))):
                schema.pop("title", None)
                for part in schema.get("properties", {}).values():
                    part.pop("title", None)
        assert self.openapi_schema is not None  # noqa: S101 (super() has set it)
        return self.openapi_schema


def _operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def _parameters(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        parameter
        for operation in _operations(document)
        for parameter in operation.get("parameters", ())
    ]


def _bodies(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        content
        for operation in _operations(document)
        for content in operation.get("requestBody", {}).get("content", {}).values()
    ]


def _unless_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Optional parameters and bodies are left out of a request; they are never null."""
    match schema:
        case {"anyOf": [kind, {"type": "null"}], **more}:
            return {**kind, **more}
    return schema
