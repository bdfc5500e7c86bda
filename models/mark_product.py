"""Messages of the workflow that marks a product's lines in all carts."""

from models.cart_line import ProductAvailability
from models.limits import Policy
from models.message import Message
from models.runners import Runner, Share


class MarkRunner(Runner):
    """The id of a runner's last cart, and its counts so far."""

    after: str | None = None
    looked_at: int = 0
    marked: int = 0


class MarkProductInput(Message):
    """Mark a product's lines in all carts, of one store or (None) of all.

    `topic` and `event_id` name the event. `runners` are carried from one run to the next.
    """

    topic: str
    event_id: str
    store_id: str | None = None
    news: ProductAvailability
    policy: Policy = Policy()
    runners: tuple[MarkRunner, ...] = ()


class MarkPage(Message):
    """Mark the product's lines in the next carts of a share of the buckets, after a cart's id."""

    request: MarkProductInput
    share: Share
    after: str | None = None


class ProductMarked(Message):
    """The result of one page of a product's carts; `after` None when it was the last."""

    looked_at: int
    marked: int
    after: str | None
