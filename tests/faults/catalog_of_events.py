"""The faults and the moments of the consumer, as `catalog` has those of the sagas."""

import random

from tests.faults.catalog import BROKEN, SERVERS, Fault, Kind, Moment, Planned
from tests.faults.control import Place
from tests.faults.rig import CONSUMER_LINKS, WORKER_LINKS, WORKERS
from tests.faults.wishes import What

_FAILING = frozenset({"start", "park"})
"""What may fail by itself; of the rest only the process, or what it asks, can."""

MOMENTS = (
    Moment("event taken", Place("take", "before"), "kafka"),
    Moment("event dealt with", Place("take", "after"), "kafka"),
    Moment("before the start", Place("start", "before"), "temporal"),
    Moment("in the start", Place("start", "during"), "temporal"),
    Moment("started, unanswered", Place("start", "after"), "temporal"),
    Moment("before parking", Place("park", "before"), "kafka"),
    Moment("parked, unanswered", Place("park", "after"), "kafka"),
    Moment("before the commit of offsets", Place("commit", "before"), "kafka"),
    Moment("offsets committed, unanswered", Place("commit", "after"), "kafka"),
)

# Longer than a session: the group goes on without it, and it comes back.
_LONG_PAUSE = (4.0, 5.0)
# There is another one on its task queue, as there is in production.
_WORKER = WORKERS[1]

FAMILIES: tuple[tuple[Fault, ...], ...] = (
    (Fault(Kind.DIE, "consumer"),),
    (Fault(Kind.KILL, "consumer"),),
    (Fault(Kind.PAUSE, "consumer"), Fault(Kind.PAUSE, "consumer", seconds=_LONG_PAUSE)),
    (Fault(Kind.CALL_ERROR, "the call"),),
    (Fault(Kind.CALL_DELAY, "the call", seconds=(0.3, 3.0)),),
    *(tuple(Fault(Kind.LINK, link, mode) for mode in BROKEN) for link in CONSUMER_LINKS),
    *(tuple(Fault(Kind.LINK, f"worker-{name}", mode) for mode in BROKEN) for name in WORKER_LINKS),
    *((Fault(kind, name),) for name in (*SERVERS, _WORKER) for kind in (Kind.KILL, Kind.PAUSE)),
)


def plan(rng: random.Random, *, events: range, faults: int) -> list[Planned]:
    """Which fault strikes at which moment of the consumer, after which event (`saga`) was sent.

    The same for the same `rng`. Every second one is the consumer's own.
    """
    own = [family for family in FAMILIES if family[0].target in {"consumer", "the call"}]
    others = [family for family in FAMILIES if family not in own]
    rng.shuffle(own)
    rng.shuffle(others)
    moments = rng.sample(MOMENTS, len(MOMENTS))
    planned = []
    for number, event in enumerate(sorted(rng.sample(events, faults))):
        families = others if number % 2 else own
        fault = rng.choice(families[number // 2 % len(families)])
        moment = moments[number % len(moments)]
        if fault.kind is Kind.CALL_ERROR:
            moment = rng.choice([one for one in MOMENTS if one.place.method in _FAILING])
        seconds = round(rng.uniform(*fault.seconds), 2)
        planned.append(Planned(number, event, What.ORDER, fault, moment, seconds))
    return planned
