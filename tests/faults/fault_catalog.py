"""The faults and the moments of a saga, and the plan of which fault meets which saga.

A moment is a call in a saga or relay. A fault is what happens when the first run of a chosen cart
reaches that call. `fault_injection` applies it.
"""

import random
from dataclasses import dataclass
from enum import StrEnum

from models.effects import EffectKind
from tests.faults.cart_requests import SHOPPER_ACTIONS, CartAction
from tests.faults.partial.faults import CATALOG, PartialFault, System
from tests.faults.proxy import Mode
from tests.faults.rig import LINKS
from tests.faults.triggers import CallPoint

_ALL = SHOPPER_ACTIONS
_RESERVING = (CartAction.ADD, CartAction.INCREASE, CartAction.BATCH)
_FREEING = (CartAction.DECREASE, CartAction.REMOVE, CartAction.CLEAR)
_SHOWING = tuple(action for action in _ALL if action is not CartAction.CLEAR)


@dataclass(frozen=True)
class Moment:
    """A call in the saga of one of `actions`, or in the relay of its cart (`relay`).

    `setup_failures` are calls that fail first, so that the saga reaches its undo, or leaves an
    effect to the relay.
    """

    name: str
    call_point: CallPoint
    dependency: str  # the called system
    actions: tuple[CartAction, ...] = _ALL
    setup_failures: tuple[CallPoint, ...] = ()
    relay: EffectKind | None = None


_RESERVE_FAILS = (CallPoint("reserve", "after"),)
_PIVOT_FAILS = (CallPoint("persist", "after"),)
_PUBLISH_FAILS = (CallPoint("publish", "before"),)
_RELEASE_FAILS = (CallPoint("release", "before"),)
_EVENTS, _RELEASES = EffectKind.EVENT, EffectKind.RELEASE

MOMENTS = (
    Moment(
        "before loading",
        CallPoint("load", "before"),
        "mongodb",
        (CartAction.INCREASE, CartAction.DECREASE, CartAction.CHECK_OUT, CartAction.BATCH),
    ),
    Moment("before the reserve", CallPoint("reserve", "before"), "inventory", _RESERVING),
    Moment("in the reserve", CallPoint("reserve", "during"), "inventory", _RESERVING),
    Moment("reserved, unanswered", CallPoint("reserve", "after"), "inventory", _RESERVING),
    Moment("before the pivot", CallPoint("persist", "before"), "mongodb"),
    Moment("cart read, nothing written", CallPoint("pivot", "before"), "mongodb"),
    Moment(
        "inside the pivot's transaction",
        CallPoint("transaction", "before"),
        "mongodb",
    ),
    Moment(
        "pivot committed, unanswered",
        CallPoint("persist", "after"),
        "mongodb",
    ),
    Moment(
        "settling a pivot that has committed",
        CallPoint("settle", "before"),
        "mongodb",
        setup_failures=_PIVOT_FAILS,
    ),
    Moment("showing the cart", CallPoint("put", "before"), "redis", _SHOWING),
    Moment("showing that it is gone", CallPoint("drop", "before"), "redis", (CartAction.CLEAR,)),
    Moment("before publishing", CallPoint("publish", "before"), "kafka"),
    Moment("published, unanswered", CallPoint("publish", "after"), "kafka"),
    Moment(
        "after the pivot: before the release",
        CallPoint("release", "before"),
        "inventory",
        _FREEING,
    ),
    Moment(
        "after the pivot: released, unanswered",
        CallPoint("release", "after"),
        "inventory",
        _FREEING,
    ),
    Moment(
        "undo: before settling",
        CallPoint("settle", "before"),
        "mongodb",
        _RESERVING,
        _RESERVE_FAILS,
    ),
    Moment(
        "undo: settled, unanswered",
        CallPoint("settle", "after"),
        "mongodb",
        _RESERVING,
        _RESERVE_FAILS,
    ),
    Moment(
        "undo: before the release",
        CallPoint("release", "before"),
        "inventory",
        _RESERVING,
        _RESERVE_FAILS,
    ),
    Moment(
        "undo: released, unanswered",
        CallPoint("release", "after"),
        "inventory",
        _RESERVING,
        _RESERVE_FAILS,
    ),
    Moment(
        "relay: publishing",
        CallPoint("publish", "before"),
        "kafka",
        setup_failures=_PUBLISH_FAILS,
        relay=_EVENTS,
    ),
    Moment(
        "relay: published",
        CallPoint("publish", "after"),
        "kafka",
        setup_failures=_PUBLISH_FAILS,
        relay=_EVENTS,
    ),
    Moment(
        "relay: releasing an undone hold",
        CallPoint("release", "before"),
        "inventory",
        _RESERVING,
        (*_RESERVE_FAILS, *_RELEASE_FAILS),
        _RELEASES,
    ),
    Moment(
        "relay: releasing what was taken out",
        CallPoint("release", "before"),
        "inventory",
        _FREEING,
        _RELEASE_FAILS,
        _RELEASES,
    ),
)


class FaultMethod(StrEnum):
    """The kinds of fault."""

    DIE = "dies there"  # the worker kills itself
    CALL_ERROR = "fails"
    CALL_DELAY = "is slow"
    CALL_ECHO = "arrives twice, the second late"
    LINK = "link"
    KILL = "killed"
    PAUSE = "paused"
    TERMINATE = "terminated"  # the run, by an operator
    RESET = "reset"  # the run, to its first workflow task, by an operator
    PARTIAL = "partly sick"  # a system, for the product, cart or partition of the request


@dataclass(frozen=True)
class StackFault:
    """A fault of a process, link, call or part; `seconds` is the range of its duration."""

    kind: FaultMethod
    target: str
    mode: Mode | None = None
    seconds: tuple[float, float] = (0.3, 1.2)
    partial: PartialFault | None = None

    @property
    def name(self) -> str:
        if self.partial is not None:
            return str(self.partial)
        if self.mode is not None:
            client, _, server = self.target.partition("-")
            return f"{client} to {server}: {self.mode}"
        return f"{self.target} {self.kind}"


RUN, ENDED_RUN = "the run", "the ended run"
SERVERS = ("mongodb", "redis", "kafka", "temporal", "inventory")
BROKEN = (Mode.DELAY, Mode.CUT, Mode.RESET, Mode.SWALLOW, Mode.STALL)
# Longer than the timeout of a workflow task: another worker takes over.
_LONG_PAUSE = (5.5, 6.5)

PARTIAL_SECONDS = (0.5, 3.0)


def partly_sick(fault: PartialFault) -> StackFault:
    """The fault of the system that is partly sick."""
    target = "kafka" if fault.system is System.MESSAGES else fault.system.value
    return StackFault(FaultMethod.PARTIAL, target, seconds=PARTIAL_SECONDS, partial=fault)


FAULTS = (
    StackFault(FaultMethod.DIE, "worker"),
    StackFault(FaultMethod.PAUSE, "worker"),
    StackFault(FaultMethod.TERMINATE, RUN),
    StackFault(FaultMethod.RESET, RUN),
    StackFault(FaultMethod.RESET, ENDED_RUN),
    StackFault(FaultMethod.CALL_ERROR, "the call"),
    StackFault(FaultMethod.CALL_DELAY, "the call", seconds=(0.3, 3.0)),
    StackFault(FaultMethod.CALL_ECHO, "the call", seconds=(0.2, 2.0)),
    *(StackFault(FaultMethod.LINK, link, mode) for link in LINKS for mode in BROKEN),
    *(StackFault(FaultMethod.KILL, name) for name in (*SERVERS, "api")),
    *(StackFault(FaultMethod.PAUSE, name) for name in (*SERVERS, "api")),
    *map(partly_sick, CATALOG),
)
LONG_FAULTS = (StackFault(FaultMethod.PAUSE, "worker", seconds=_LONG_PAUSE),)


@dataclass(frozen=True)
class PlannedFault:
    """One fault at one moment of the saga of one request."""

    number: int
    saga: int
    action: CartAction
    fault: StackFault
    moment: Moment
    seconds: float


def plan(rng: random.Random, *, sagas: range, faults: int) -> list[PlannedFault]:
    """Chooses which fault at which moment meets which saga; the same for the same `rng`.

    Moments and families of faults take turns, so that a short run has some of each; the choice
    within a family is random.
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
        if fault.kind is FaultMethod.PAUSE and fault.target == "worker" and rng.random() < 0.5:
            fault = LONG_FAULTS[0]
        moment = moments[number % len(moments)]
        if fault.target == ENDED_RUN and moment.relay is not None:  # a busy relay does not end
            moment = rng.choice([one for one in moments if one.relay is None])
        seconds = round(rng.uniform(*fault.seconds), 2)
        planned.append(
            PlannedFault(number, saga, rng.choice(moment.actions), fault, moment, seconds)
        )
    return planned
