"""Inputs and results of the passes over carts: expiry, and the end of holds and checkouts."""

from datetime import datetime

from models.message import Message
from models.runners import Runner, Share


class PassRunner(Runner):
    """The number of changed carts, and the ids of those that are left to the next pass because they
    could not be changed."""

    changed: int = 0
    left: tuple[str, ...] = ()


class PassInput(Message):
    """A pass over the carts that were due before the start of the pass.

    The fields are carried from one run to the next: the start of the pass, and its runners.
    """

    before: datetime | None = None
    runners: tuple[PassRunner, ...] = ()


class PassPage(Message):
    """Change at most `limit` carts of a share of the buckets that were due before `before`.

    Except those in `left`. `at` is the time of the records, the same in every try of the page.
    """

    before: datetime
    at: datetime
    share: Share
    left: tuple[str, ...]
    limit: int


class PassedPage(Message):
    """The result of a page: the number of changed carts, and the ids of those that could not be.

    `more` says that there may be others: the page was full, or a system did not answer.
    """

    changed: int
    left: tuple[str, ...]
    more: bool


class PassResult(Message):
    """The result of a pass: the number of carts changed, and of carts left to the next pass."""

    changed: int
    left: int
