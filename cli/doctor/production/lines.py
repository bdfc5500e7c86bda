"""The lines of the production checklist, and what is found about each."""

from dataclasses import dataclass, field
from enum import StrEnum

from cli.doctor.results import CheckResult, Status


class Line(StrEnum):
    """The names of the lines in docs/deploy.md, in their order."""

    ENVIRONMENT = "environment"
    TOKENS = "tokens"
    TRANSPORT = "transport"
    CREDENTIALS = "credentials"
    RIGHTS = "rights"
    SECRETS = "secrets"
    RATE_LIMITS = "rate limits"
    CART_LIMITS = "cart limits"
    FLAGS = "flags"
    NETWORK = "network"
    WEB_UI = "web UI"
    TEMPORAL = "temporal"
    MONGODB = "mongodb"
    BACKUP = "backup"
    REDIS = "redis"
    KAFKA = "kafka"
    REPLICAS = "replicas"
    PERSONAL_DATA = "personal data"
    IMAGES = "images"
    MONITORING = "monitoring"
    HEALTH = "health"


BY_HAND = {
    Line.RIGHTS: "each user may do what docs/deploy.md lists, and no more",
    Line.SECRETS: "they come from a vault; each pod has its own; a plan for changing each",
    Line.NETWORK: "policies are enforced; only /api/v1/cart and /api/v1/guests are published",
    Line.WEB_UI: "it requires a login",
    Line.BACKUP: "MongoDB and Temporal's database are backed up; a restore was tried",
    Line.PERSONAL_DATA: "your data protection officer knows where it is",
    Line.IMAGES: "by digest, from your own registry, scanned; the bill of materials is kept",
    Line.MONITORING: "Prometheus scrapes every pod; CartProcessDown reaches the engineer on call",
    Line.HEALTH: "`cart doctor` finds nothing",
}
"""What nothing here can know."""


@dataclass
class Findings:
    """Results by line."""

    results: dict[Line, list[CheckResult]] = field(default_factory=dict)

    def of(self, line: Line) -> list[CheckResult]:
        return self.results.get(line, [])

    def ok(self, line: Line, what: str) -> None:
        """The line is kept."""
        self._add(line, Status.OK, what)

    def weak(self, line: Line, what: str, advice: str) -> None:
        """The line is not kept."""
        self._add(line, Status.FAILED, what, advice)

    def unknown(self, line: Line, what: str) -> None:
        """Its server could not be asked, or does not say."""
        self._add(line, Status.WARN, f"not known: {what}", "check it by hand")

    def by_hand(self, line: Line, what: str) -> None:
        """Only people can check it."""
        self._add(line, Status.BY_HAND, what)

    def _add(self, line: Line, state: Status, what: str, advice: str = "") -> None:
        self.results.setdefault(line, []).append(CheckResult(line, state, what, advice))
