"""Who caused an operation, and who intervened in one."""

from enum import StrEnum

from models.message import Message


class ActorType(StrEnum):
    """The kinds of actors."""

    USER = "user"
    """The cart's user, by the API. The id is the token's `sub`."""
    GUEST = "guest"
    """The cart's guest, by the API. The id is the `sub` of the token that this service signed."""
    ADMIN = "admin"
    """An admin of the store, on another user's cart. The id is the admin's `sub`."""
    OPERATOR = "operator"
    """An operator, by the `cart` command. The id is `USER@HOST`, or the name given by `--as`."""
    EVENT = "event"
    """A consumed event. The id is `{topic}/{order id or event id}`."""
    SCHEDULE = "schedule"
    """A schedule. The id is its name, such as `expiry`."""
    REPAIR = "repair"
    """A repair that no operator has started. The id is what found the drift."""


class Actor(Message):
    """Who caused an operation."""

    type: ActorType
    id: str

    def __str__(self) -> str:
        return f"{self.type}:{self.id}"


class Intervention(Message):
    """An operator's request to end a saga."""

    by: str
    reason: str
