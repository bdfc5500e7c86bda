"""Messages to and from relay workflows.

A relay delivers one kind of effect (`EffectKind`) of one shard of carts.
"""

from datetime import datetime

from models.effects import EffectKind
from models.message import Message


class RelayInput(Message):
    """A relay's effects: those of `kind` of the carts whose shard key modulo `shards` is `shard`.

    The other fields are carried from one run of the relay to the next.
    """

    kind: EffectKind
    shard: int
    shards: int
    paused: bool = False
    paused_by: str = ""
    failing_since: datetime | None = None
    failures: int = 0


class RelayBatch(Message):
    """Do the effects of a relay's oldest records with pending ones, at most `limit` records."""

    kind: EffectKind
    shard: int
    shards: int
    limit: int


class RelayProgress(Message):
    """The result of a batch: effects `done`, and records `left` pending, of those that were read.

    `problem` is an error. With `down` a dependency was unavailable, which ended the batch. Without
    it single effects were refused, and each blocks its cart: `blocked` is the number of records
    that are blocked, and `refused` has the ids of some of these effects.
    """

    done: int
    left: int
    oldest: datetime | None = None
    problem: str | None = None
    down: bool = False
    blocked: int = 0
    refused: tuple[str, ...] = ()


class SkipEffect(Message):
    """Never do this effect; its record keeps the reason."""

    effect_id: str
    reason: str
    at: datetime


class WakeRelay(Message):
    """Start or wake the relay of this kind for a cart."""

    kind: EffectKind
    store_id: str
    user_id: str
