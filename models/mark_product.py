"""Messages of the workflow that marks a product's lines in all carts."""

from models.cart import ProductAvailability
from models.limits import Policy
from models.message import Message


class MarkProductInput(Message):
    """Mark a product's lines in all carts, of one store or (None) of all.

    `topic` and `event_id` name the event. `after`, `looked_at` and `marked` are carried from one
    run to the next: the id of the last cart, and the counts so far.
    """

    topic: str
    event_id: str
    store_id: str | None = None
    news: ProductAvailability
    policy: Policy = Policy()
    after: str | None = None
    looked_at: int = 0
    marked: int = 0


class ProductMarked(Message):
    """The result of one page of a product's carts; `after` None when it was the last."""

    looked_at: int
    marked: int
    after: str | None
