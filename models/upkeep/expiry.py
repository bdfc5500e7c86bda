"""Inputs and results of expiry."""

from datetime import datetime

from models.messages import Message


class ExpiryInput(Message):
    """A pass over the carts that have expired by the start of the pass.

    All of it is carried from one run to the next: the start, the ids of the carts that were left,
    and how many were cleared.
    """

    before: datetime | None = None
    left: tuple[str, ...] = ()
    cleared: int = 0


class ExpiryPage(Message):
    """Clear the next carts that expired before `before`, at most `limit`, besides those `left`."""

    before: datetime
    left: tuple[str, ...]
    limit: int


class ExpiredPage(Message):
    """What became of a page: carts that are gone, and ids of those that are not.

    A cart is left because it was touched meanwhile, or because it was busy; then the next pass has
    it. Of `undecided` ones a system that did not answer is to blame; the next page has them again.
    """

    found: int
    cleared: int
    left: tuple[str, ...]
    undecided: int = 0


class ExpiryResult(Message):
    """What a pass came to: carts cleared, and carts left to the next."""

    cleared: int
    left: int
