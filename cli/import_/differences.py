"""How an imported cart can differ from the original."""

from dataclasses import dataclass
from enum import StrEnum


class DifferenceKind(StrEnum):
    """The kinds of differences; the text says what the import does."""

    CART_UNUSABLE = "cart_unusable"
    EXPIRED = "expired"
    CART_EXISTS = "cart_exists"
    LINE_UNUSABLE = "line_unusable"
    LINES_MERGED = "lines_merged"
    UNITS_NOT_HELD = "units_not_held"
    OVER_LIMIT = "over_limit"
    PRICE_ROUNDED = "price_rounded"
    TOTAL_CORRECTED = "total_corrected"
    QUANTITY_CORRECTED = "quantity_corrected"
    FIELD_LEFT_OUT = "field_left_out"
    TITLE_REPLACED = "title_replaced"

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    DifferenceKind.CART_UNUSABLE: "not imported: the cart cannot be read",
    DifferenceKind.EXPIRED: "not imported: the cart has expired",
    DifferenceKind.CART_EXISTS: "not imported: its user has another cart here",
    DifferenceKind.LINE_UNUSABLE: "the line is left out",
    DifferenceKind.LINES_MERGED: "several lines of one product are one line",
    DifferenceKind.UNITS_NOT_HELD: "the line is kept; some of its units could not be reserved",
    DifferenceKind.OVER_LIMIT: "kept, though over a limit: it can shrink, not grow",
    DifferenceKind.PRICE_ROUNDED: "the price is rounded to two digits",
    DifferenceKind.TOTAL_CORRECTED: "the total is that of the lines",
    DifferenceKind.QUANTITY_CORRECTED: "the quantity is that of the lines",
    DifferenceKind.FIELD_LEFT_OUT: "a field with an invalid value is left out",
    DifferenceKind.TITLE_REPLACED: "the product's id stands for a title that is missing or invalid",
}


@dataclass(frozen=True)
class Difference:
    """A difference of one cart, with the product where it is about a line."""

    cart_id: str
    kind: DifferenceKind
    detail: str
    product_id: str | None = None
