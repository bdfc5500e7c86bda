"""Messages to and from relay workflows.

A relay delivers one kind of effect (`EffectKind`) of one shard of carts.
"""

from datetime import datetime, timedelta

from models.effects import EffectKind
from models.message import Message

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=15)


def doubling_pause(failures: int, longest: timedelta = LONGEST_PAUSE) -> timedelta:
    """How long to wait after so many failed tries in a row: doubling, up to a bound."""
    return min(FIRST_PAUSE * (1 << min(failures - 1, 12)), longest)


class RelayInput(Message):
    """A relay's effects: those of `kind` of the carts whose shard key modulo `shards` is `shard`.

    The other fields are carried from one run of the relay to the next.
    """

    kind: EffectKind
    shard: int
    shards: int
    paused: bool = False
    paused_by: str = ""
    paused_since: datetime | None = None
    failing_since: datetime | None = None
    failures: int = 0
    retry_now: bool = False


class RelayBatch(Message):
    """Do the effects of a relay's records that are due the longest, at most `limit` records.

    With `retry_now` also those that are not due yet.
    """

    kind: EffectKind
    shard: int
    shards: int
    limit: int
    retry_now: bool = False


class RelayProgress(Message):
    """The result of a batch: effects `done`, and records `left` pending in the shard.

    `left` is counted up to a limit (`adapters.mongo.outbox.MOST_COUNTED`). The next of them is due
    at `next_try`. `problem` is an error of the batch. With `down` nothing could be done. `refused`
    has the ids of some effects that their system refuses, and each blocks its cart.
    """

    done: int
    left: int
    next_try: datetime | None = None
    problem: str | None = None
    down: bool = False
    refused: tuple[str, ...] = ()


class RelayStatus(Message):
    """What a relay does, in words, as the Web UI shows it, and the result of its latest batch.

    While it is paused: since when, and by whom and why.
    """

    says: str = ""
    paused_since: datetime | None = None
    paused_by: str = ""
    last: RelayProgress = RelayProgress(done=0, left=0)


class SkipEffect(Message):
    """Never do this effect; its record keeps the reason. `by` is the operator."""

    effect_id: str
    reason: str
    at: datetime
    by: str = ""


class WakeRelay(Message):
    """Start or wake the relay of this kind for a cart."""

    kind: EffectKind
    store_id: str
    user_id: str
