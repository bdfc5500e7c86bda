"""The faults and the moments, by name.

A moment is a place in the saga, a fault is what happens when the first run of a chosen cart gets
there. What is not in here: which fault meets which saga (`matrix`), and how it is done (`inject`).
"""

import random
from dataclasses import dataclass
from enum import StrEnum

from models.relays import RelayKind
from tests.faults.control import Place
from tests.faults.proxy import Mode
from tests.faults.rig import LINKS, WORKERS
from tests.faults.wishes import ASKED, What

_ALL = ASKED
_RESERVING = (What.ADD, What.MORE)
_FREEING = (What.LESS, What.REMOVE, What.CLEAR)


@dataclass(frozen=True)
class Moment:
    """Where in the saga of what a buyer wants, or in the relay of its cart (`relay`).

    `bait` makes a saga fail on purpose, so that it comes to its undo, or leaves something to the
    relay. Of the sagas in `may_end` an operator may terminate the run there: nothing is held that
    only its undo would give back.
    """

    name: str
    place: Place
    dependency: str  # whose call it is
    of: tuple[What, ...] = _ALL
    bait: tuple[Place, ...] = ()
    relay: RelayKind | None = None
    may_end: tuple[What, ...] = ()


_LOST_RESERVE = (Place("reserve", "after"),)
_LOST_PIVOT = (Place("commit", "after"),)
_NOT_PUBLISHED = (Place("publish", "before"),)
_NOT_RELEASED = (Place("release", "before"),)
_EVENTS, _RELEASES = RelayKind.EVENTS, RelayKind.RELEASES
_NO_HOLDS = (What.REMOVE, What.CLEAR)

MOMENTS = (
    Moment("before loading", Place("load", "before"), "mongodb", (What.MORE, What.LESS)),
    Moment("before the reserve", Place("reserve", "before"), "inventory", _RESERVING),
    Moment("in the reserve", Place("reserve", "during"), "inventory", _RESERVING),
    Moment("reserved, unanswered", Place("reserve", "after"), "inventory", _RESERVING),
    Moment("before the pivot", Place("commit", "before"), "mongodb", may_end=_NO_HOLDS),
    Moment(
        "inside the pivot's transaction",
        Place("transaction", "before"),
        "mongodb",
        may_end=_NO_HOLDS,
    ),
    Moment("pivot committed, unanswered", Place("commit", "after"), "mongodb", may_end=_ALL),
    Moment(
        "settling a pivot that has committed",
        Place("settle", "before"),
        "mongodb",
        bait=_LOST_PIVOT,
        may_end=_NO_HOLDS,
    ),
    Moment("showing the cart", Place("put", "before"), "redis", (*_RESERVING, *_FREEING[:2])),
    Moment("showing that it is gone", Place("drop", "before"), "redis", (What.CLEAR,)),
    Moment("before publishing", Place("publish", "before"), "kafka", may_end=_ALL),
    Moment("published, unanswered", Place("publish", "after"), "kafka", may_end=_ALL),
    Moment(
        "after the pivot: before the release",
        Place("release", "before"),
        "inventory",
        _FREEING,
        may_end=_FREEING,
    ),
    Moment(
        "after the pivot: released, unanswered",
        Place("release", "after"),
        "inventory",
        _FREEING,
        may_end=_FREEING,
    ),
    Moment(
        "undo: before settling", Place("settle", "before"), "mongodb", _RESERVING, _LOST_RESERVE
    ),
    Moment(
        "undo: settled, unanswered",
        Place("settle", "after"),
        "mongodb",
        _RESERVING,
        _LOST_RESERVE,
        may_end=_RESERVING,
    ),
    Moment(
        "undo: before the release",
        Place("release", "before"),
        "inventory",
        _RESERVING,
        _LOST_RESERVE,
        may_end=_RESERVING,
    ),
    Moment(
        "undo: released, unanswered",
        Place("release", "after"),
        "inventory",
        _RESERVING,
        _LOST_RESERVE,
        may_end=_RESERVING,
    ),
    Moment(
        "relay: publishing",
        Place("publish", "before"),
        "kafka",
        bait=_NOT_PUBLISHED,
        relay=_EVENTS,
        may_end=_ALL,
    ),
    Moment(
        "relay: published",
        Place("publish", "after"),
        "kafka",
        bait=_NOT_PUBLISHED,
        relay=_EVENTS,
        may_end=_ALL,
    ),
    Moment(
        "relay: releasing an undone hold",
        Place("release", "before"),
        "inventory",
        _RESERVING,
        (*_LOST_RESERVE, *_NOT_RELEASED),
        _RELEASES,
        may_end=_RESERVING,
    ),
    Moment(
        "relay: releasing what was taken out",
        Place("release", "before"),
        "inventory",
        _FREEING,
        _NOT_RELEASED,
        _RELEASES,
        may_end=_FREEING,
    ),
)


class Kind(StrEnum):
    """What is done."""

    DIE = "dies there"  # the worker, by its own hand
    CALL_ERROR = "fails"
    CALL_DELAY = "is slow"
    CALL_ECHO = "arrives twice, the second late"
    LINK = "link"
    KILL = "killed"
    PAUSE = "paused"
    TERMINATE = "terminated"  # the run, by an operator


@dataclass(frozen=True)
class Fault:
    """What is broken, and how; how long is chosen when it is planned."""

    kind: Kind
    target: str
    mode: Mode | None = None
    seconds: tuple[float, float] = (0.3, 1.2)

    @property
    def name(self) -> str:
        if self.mode is not None:
            client, _, server = self.target.partition("-")
            return f"{client} to {server}: {self.mode}"
        return f"{self.target} {self.kind}"


SERVERS = ("mongodb", "redis", "kafka", "temporal", "inventory")
BROKEN = (Mode.DELAY, Mode.CUT, Mode.RESET, Mode.SWALLOW, Mode.STALL)
# Longer than a workflow task may take: another worker would have taken over.
_LONG_PAUSE = (5.5, 6.5)

FAULTS = (
    Fault(Kind.DIE, "worker"),
    Fault(Kind.PAUSE, "worker"),
    Fault(Kind.TERMINATE, "the run"),
    Fault(Kind.CALL_ERROR, "the call"),
    Fault(Kind.CALL_DELAY, "the call", seconds=(0.3, 3.0)),
    Fault(Kind.CALL_ECHO, "the call", seconds=(0.2, 2.0)),
    *(Fault(Kind.LINK, link, mode) for link in LINKS for mode in BROKEN),
    *(Fault(Kind.KILL, name) for name in (*SERVERS, "api")),
    *(Fault(Kind.PAUSE, name) for name in (*SERVERS, "api")),
)
LONG_FAULTS = (Fault(Kind.PAUSE, "worker", seconds=_LONG_PAUSE),)


@dataclass(frozen=True)
class Planned:
    """One fault at one moment, for the saga of one request."""

    number: int
    saga: int
    what: What
    fault: Fault
    moment: Moment
    seconds: float

    @property
    def cuts_the_cache(self) -> bool:
        """Whether it keeps the cart from being written to the cache when it is committed.

        A worker that was stopped takes its calls for timed out when it wakes.
        """
        fault = self.fault
        return (
            fault.target in {"redis", "worker-redis"}
            or (fault.kind is Kind.PAUSE and fault.target in WORKERS)
            or (
                fault.kind in {Kind.CALL_ERROR, Kind.CALL_DELAY, Kind.CALL_ECHO}
                and self.moment.dependency == "redis"
            )
        )


def plan(rng: random.Random, *, sagas: range, faults: int) -> list[Planned]:
    """Chooses which fault at which moment meets which saga; the same for the same `rng`.

    Moments and families of faults take turns, so that a short run has some of each; within them
    it is chance.
    """
    families = [
        [fault for fault in FAULTS if fault.kind is kind and fault.target == target]
        for kind, target in dict.fromkeys((fault.kind, fault.target) for fault in FAULTS)
    ]
    rng.shuffle(families)
    moments = rng.sample(MOMENTS, len(MOMENTS))
    chosen = sorted(rng.sample(sagas, faults))
    planned = []
    for number, saga in enumerate(chosen):
        fault = rng.choice(families[number % len(families)])
        if fault.kind is Kind.PAUSE and fault.target == "worker" and rng.random() < 0.5:
            fault = LONG_FAULTS[0]
        moment, of = moments[number % len(moments)], moments[number % len(moments)].of
        if fault.kind is Kind.TERMINATE:
            moment = rng.choice([moment for moment in moments if moment.may_end])
            of = moment.may_end
        seconds = round(rng.uniform(*fault.seconds), 2)
        planned.append(Planned(number, saga, rng.choice(of), fault, moment, seconds))
    return planned
