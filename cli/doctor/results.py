"""Results of the checks."""

from dataclasses import dataclass, field
from enum import StrEnum

from cli.console import reason


class Part(StrEnum):
    """What is checked, in the order in which it is shown."""

    SETTINGS = "settings"
    API = "API"
    WORKER = "worker"
    VERSION = "version of the worker"
    TEMPORAL = "Temporal"
    ATTRIBUTES = "search attributes"
    WEB_UI = "Temporal Web UI"
    MONGODB = "MongoDB"
    INDEXES = "MongoDB indexes"
    TRANSACTIONS = "MongoDB transactions"
    PENDING = "pending effects"
    HOLDS = "holds"
    REDIS = "Redis"
    KAFKA = "Kafka"
    TOPICS = "Kafka topics"
    CONSUMER = "consumer"
    INVENTORY = "inventory"


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAILED = "failed"


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

    def ok(self, part: str, what: str) -> None:
        """The part works."""
        self.results.append(CheckResult(part, Status.OK, what))

    def warn(self, part: str, what: str, advice: str) -> None:
        """The part works, but needs attention."""
        self.results.append(CheckResult(part, Status.WARN, what, advice))

    def failed(self, part: str, what: str, advice: str) -> None:
        """The part does not work."""
        self.results.append(CheckResult(part, Status.FAILED, what, advice))

    def unreachable(
        self, part: str, where: str, error: Exception, setting: str, *, is_set: bool
    ) -> None:
        """The server of this setting does not answer."""
        advice = start_or_check(setting, is_set=is_set)
        self.failed(part, f"does not answer at {where} ({reason(error)})", advice)


def start_or_check(setting: str, *, is_set: bool) -> str:
    """Advice for a server that does not answer: a local one can be started."""
    if is_set:
        return f"check that it runs and that {setting} is right"
    return f"start it with `make run` (only the servers: `cart stack`), or set {setting}"
