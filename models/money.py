"""Money: exact decimals with two digits.

`Decimal` in code, `Decimal128` in MongoDB, and a number with two digits in JSON. Never a binary
float: 0.1 + 0.2 must be 0.30.
"""

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any, Literal

from bson import Decimal128
from pydantic import BeforeValidator, WithJsonSchema
from typing_extensions import TypeAliasType

CENT = Decimal("0.01")
MAX_PRICE = Decimal(1_000_000)


def _decimal(value: Any) -> Any:
    return value.to_decimal() if isinstance(value, Decimal128) else value


Money = Annotated[
    Decimal, BeforeValidator(_decimal), WithJsonSchema({"type": "number", "format": "double"})
]
"""An amount in the cart's currency. Also accepts `Decimal128`."""

PriceSource = TypeAliasType("PriceSource", Literal["client", "product_service"])
"""Where a price comes from: `client` is the request that added the units."""


def cents(amount: Decimal) -> Decimal:
    """The amount with exactly two digits. Inputs have at most two, so nothing is rounded away."""
    return amount.quantize(CENT, rounding=ROUND_HALF_EVEN)
