"""The messages of an erasure: of all data of a user, in one store or in all."""

from models.actor import Actor
from models.message import Message

ERASED = "erased"
"""What takes the place of ids that have the user's in them."""


class EraseInput(Message):
    """Erase a user's data. `user` is the user's id, sealed: a history is data too.

    `pseudonym` takes the place of the user in records that must stay; it is random, so that nothing
    leads from it to the user.
    """

    user: str
    store_id: str | None = None
    actor: Actor
    pseudonym: str = ""


class EraseRun(Message):
    """One step of an erasure; `run` identifies the erasure."""

    request: EraseInput
    run: str


class UserData(Message):
    """How much there is of a user, by place.

    `pending` are records with effects that are still to be done, and `running` open runs: both end
    by themselves.
    """

    carts: int = 0
    records: int = 0
    pending: int = 0
    answers: int = 0
    acknowledgements: int = 0
    findings: int = 0
    acts_as_admin: int = 0
    cached: int = 0
    histories: int = 0
    running: int = 0

    @property
    def total(self) -> int:
        """All that an erasure removes. Records that are pending are records too."""
        return sum(value for name, value in self.model_dump().items() if name != "pending")


class Erased(Message):
    """The result: what was erased, and what was found again afterwards (all 0 if complete)."""

    carts: int = 0
    records: int = 0
    cached: int = 0
    histories: int = 0
    left: UserData = UserData()
