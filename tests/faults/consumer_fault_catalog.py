"""The faults and the moments of the consumer, as `fault_catalog` has those of the sagas."""

import random

from tests.faults.cart_requests import CartAction
from tests.faults.fault_catalog import (
    BROKEN,
    SERVERS,
    FaultMethod,
    Moment,
    PlannedFault,
    StackFault,
    partly_sick,
)
from tests.faults.partial.faults import KAFKA, MESSAGES
from tests.faults.rig import CONSUMER_LINKS, WORKER_LINKS, WORKERS
from tests.faults.triggers import CallPoint

_FAILING = frozenset({"start", "park"})
"""The methods that can fail as a call; at the others only the process or a server can fail."""

MOMENTS = (
    Moment("event taken", CallPoint("take", "before"), "kafka"),
    Moment("event dealt with", CallPoint("take", "after"), "kafka"),
    Moment("before the start", CallPoint("start", "before"), "temporal"),
    Moment("in the start", CallPoint("start", "during"), "temporal"),
    Moment("started, unanswered", CallPoint("start", "after"), "temporal"),
    Moment("before parking", CallPoint("park", "before"), "kafka"),
    Moment("parked, unanswered", CallPoint("park", "after"), "kafka"),
    Moment("before the commit of offsets", CallPoint("commit", "before"), "kafka"),
    Moment("offsets committed, unanswered", CallPoint("commit", "after"), "kafka"),
)

# Longer than a session: the group removes the consumer, which joins again later.
_LONG_PAUSE = (4.0, 5.0)
# A second worker is on the task queue, as in production.
_WORKER = WORKERS[1]

FAMILIES: tuple[tuple[StackFault, ...], ...] = (
    (StackFault(FaultMethod.DIE, "consumer"),),
    (StackFault(FaultMethod.KILL, "consumer"),),
    (
        StackFault(FaultMethod.PAUSE, "consumer"),
        StackFault(FaultMethod.PAUSE, "consumer", seconds=_LONG_PAUSE),
    ),
    (StackFault(FaultMethod.CALL_ERROR, "the call"),),
    (StackFault(FaultMethod.CALL_DELAY, "the call", seconds=(0.3, 3.0)),),
    *(
        tuple(StackFault(FaultMethod.LINK, link, mode) for mode in BROKEN)
        for link in CONSUMER_LINKS
    ),
    *(
        tuple(StackFault(FaultMethod.LINK, f"worker-{name}", mode) for mode in BROKEN)
        for name in WORKER_LINKS
    ),
    tuple(partly_sick(fault) for fault in KAFKA),
    tuple(partly_sick(fault) for fault in MESSAGES),
    *(
        (StackFault(kind, name),)
        for name in (*SERVERS, _WORKER)
        for kind in (FaultMethod.KILL, FaultMethod.PAUSE)
    ),
)


def plan(rng: random.Random, *, events: range, faults: int) -> list[PlannedFault]:
    """Chooses which fault strikes at which moment, after which event (`saga`) was sent.

    The same for the same `rng`. Every second fault is one of the consumer itself.
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
        if fault.kind is FaultMethod.CALL_ERROR:
            moment = rng.choice([one for one in MOMENTS if one.call_point.method in _FAILING])
        seconds = round(rng.uniform(*fault.seconds), 2)
        planned.append(PlannedFault(number, event, CartAction.ORDER, fault, moment, seconds))
    return planned
