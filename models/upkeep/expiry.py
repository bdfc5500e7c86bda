"""Inputs and results of expiry."""

from datetime import datetime

from models.message import Message
from models.runners import Runner, Share


class ExpiryRunner(Runner):
    """The number of cleared carts, and the ids of those that are left to the next pass because they
    could not be cleared."""

    cleared: int = 0
    left: tuple[str, ...] = ()


class ExpiryInput(Message):
    """A pass over the carts that expired before the start of the pass.

    The fields are carried from one run to the next: the start of the pass, and its runners.
    """

    before: datetime | None = None
    runners: tuple[ExpiryRunner, ...] = ()


class ExpiryPage(Message):
    """Clear at most `limit` carts of a share of the buckets that expired before `before`.

    Except those in `left`. `at` is the time of the records, the same in every try of the page.
    """

    before: datetime
    at: datetime
    share: Share
    left: tuple[str, ...]
    limit: int


class ExpiredPage(Message):
    """The result of a page: the number of cleared carts, and the ids of those that could not be.

    `more` says that there may be others: the page was full, or a system did not answer.
    """

    cleared: int
    left: tuple[str, ...]
    more: bool


class ExpiryResult(Message):
    """The result of a pass: the number of carts cleared, and of carts left to the next pass."""

    cleared: int
    left: int
