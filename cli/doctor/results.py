"""Results of the checks."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from cli.doctor.listeners import listener_at
from cli.doctor.places import Place
from ops.times import span
from ops.words import NO_ANSWER, reason

TRIES = 3


class Part(StrEnum):
    """What is checked, in the order in which it is shown."""

    SETTINGS = "settings"
    MACHINE = "this machine"
    API = "API"
    ISSUER = "token issuer"
    WORKER = "worker"
    VERSION = "version of the worker"
    TEMPORAL = "Temporal"
    ATTRIBUTES = "search attributes"
    WEB_UI = "Temporal Web UI"
    MONGODB = "MongoDB"
    INDEXES = "MongoDB indexes"
    VALIDATORS = "MongoDB validators"
    TRANSACTIONS = "MongoDB transactions"
    DISK = "MongoDB disk"
    PENDING = "pending effects"
    HOLDS = "holds"
    PAUSED = "paused stores"
    PROCESSES = "processes"
    CALLS = "calls"
    FAILING = "failing now"
    REDIS = "Redis"
    KAFKA = "Kafka"
    TOPICS = "Kafka topics"
    CONSUMER = "consumer"
    LETTERS = "dead letters"
    INVENTORY = "inventory"
    PRODUCTS = "product service"


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAILED = "failed"
    BY_HAND = "by hand"
    """Only people can check it."""


@dataclass(frozen=True)
class CheckResult:
    """The state of one part: `what` is the case, `advice` says what to do (empty: nothing)."""

    part: str
    state: Status
    what: str
    advice: str = ""


@dataclass
class CheckReport:
    """Collects the results of one check; those of a check that is cut short are kept."""

    results: list[CheckResult] = field(default_factory=list)

    def has(self, part: str) -> bool:
        """Whether the part has a result."""
        return any(one.part == part for one in self.results)

    def ok(self, part: str, what: str) -> None:
        """The part works."""
        self.results.append(CheckResult(part, Status.OK, what))

    def warn(self, part: str, what: str, advice: str) -> None:
        """The part works, but needs attention."""
        self.results.append(CheckResult(part, Status.WARN, what, advice))

    def failed(self, part: str, what: str, advice: str) -> None:
        """The part does not work."""
        self.results.append(CheckResult(part, Status.FAILED, what, advice))

    def unreachable(self, part: str, place: Place, error: BaseException) -> None:
        """The server does not answer. One that hangs needs no start."""
        why = reason(error)
        what = f"does not answer at {place.address} ({why})"
        process = listener_at(place.address)
        if process is not None:
            what = f"{what}; {process}"
        if process is not None and why == NO_ANSWER:
            self.failed(part, what, process.advice)
        else:
            self.failed(part, what, place.advice_for(why))

    def answered(
        self, part: str, where: str, what: str, seconds: float, *, slow_after: float
    ) -> None:
        """The server did `what` in so many seconds, which is too slow after `slow_after`."""
        if seconds > slow_after:
            usual = f"less than {span(slow_after)} is usual"
            self.warn(
                part,
                f"{where} is slow: {what} took {span(seconds)}; {usual}",
                "see its load, its log and its disk, and the network to it",
            )
        else:
            self.ok(part, f"{where}; {what} took {span(seconds)}")


async def fastest(call: Callable[[], Awaitable[object]]) -> float:
    """The seconds of the fastest of some calls: the others share this process with all checks."""
    best = float("inf")
    for _ in range(TRIES):
        began = time.monotonic()
        await call()
        best = min(best, time.monotonic() - began)
    return best
