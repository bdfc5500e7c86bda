"""Relays: what is told to whoever does what could not be done inline, and what it tells."""

from datetime import datetime
from enum import StrEnum

from models.messages import Message


class RelayKind(StrEnum):
    """What a relay delivers."""

    EVENTS = "events"
    RELEASES = "releases"


class RelayInput(Message):
    """A relay's shard: the carts whose shard key leaves the remainder `shard`.

    The rest is carried from one run of the relay to the next.
    """

    kind: RelayKind
    shard: int
    shards: int
    paused: bool = False
    paused_by: str = ""
    failing_since: datetime | None = None
    failures: int = 0


class RelayBatch(Message):
    """Do a relay's oldest pending effects, at most `limit` of them."""

    kind: RelayKind
    shard: int
    shards: int
    limit: int


class RelayProgress(Message):
    """What one batch came to: effects `done`, and records `left` pending, as far as was looked.

    `problem` says what failed, and `down` that it was a dependency as a whole, which ended the
    batch. Otherwise it was single effects, and each holds up its own cart: `held` of the records
    that are left, behind those that `refused` names (a few of them).
    """

    done: int
    left: int
    oldest: datetime | None = None
    problem: str | None = None
    down: bool = False
    held: int = 0
    refused: tuple[str, ...] = ()


class SkipEffect(Message):
    """Never do this effect, for this reason; both are kept in the record."""

    effect_id: str
    reason: str
    at: datetime


class WakeRelay(Message):
    """Start or wake the relay of this kind for a cart."""

    kind: RelayKind
    store_id: str
    user_id: str
