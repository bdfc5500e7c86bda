"""Inputs and results of expiry."""

from datetime import datetime

from models.message import Message


class ExpiryInput(Message):
    """A pass over the carts that expired before the start of the pass.

    The fields are carried from one run to the next: the start of the pass, the ids of the carts
    left to the next pass, and the number of cleared carts.
    """

    before: datetime | None = None
    left: tuple[str, ...] = ()
    cleared: int = 0


class ExpiryPage(Message):
    """Clear at most `limit` carts that expired before `before`, except those in `left`."""

    before: datetime
    left: tuple[str, ...]
    limit: int


class ExpiredPage(Message):
    """The result of a page: the number of carts `found` and `cleared`.

    `left` has the ids of carts that were changed meanwhile or were busy; they are left to the next
    pass. `undecided` carts failed because a system did not answer; the next page has them again.
    """

    found: int
    cleared: int
    left: tuple[str, ...]
    undecided: int = 0


class ExpiryResult(Message):
    """The result of a pass: the number of carts cleared, and of carts left to the next pass."""

    cleared: int
    left: int
