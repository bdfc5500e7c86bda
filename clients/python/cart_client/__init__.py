"""Client of Cart Service. `CartClient` is all that most programs need."""

from cart_client.client import CartClient
from cart_client.errors import (
    CartError,
    CheckedOut,
    Forbidden,
    InsufficientStock,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    Unauthorized,
    Unavailable,
)

__all__ = [
    "CartClient",
    "CartError",
    "CheckedOut",
    "Forbidden",
    "InsufficientStock",
    "InvalidRequest",
    "NotFound",
    "PreconditionFailed",
    "Unauthorized",
    "Unavailable",
]
