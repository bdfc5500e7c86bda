"""What a check says."""

from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """`what` is so in this part, and `advice` says what to do about it (empty when nothing)."""

    part: str
    state: State
    what: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """For `--json`."""
        return {
            "part": self.part,
            "state": self.state.value,
            "what": self.what,
            "advice": self.advice,
        }


@dataclass
class Report:
    """Takes what one check finds, so that a check that is ended early has said something."""

    findings: list[Finding] = field(default_factory=list)

    def ok(self, part: str, what: str) -> None:
        """All is well."""
        self.findings.append(Finding(part, State.OK, what))

    def warn(self, part: str, what: str, advice: str) -> None:
        """It works, but somebody should know."""
        self.findings.append(Finding(part, State.WARN, what, advice))

    def failed(self, part: str, what: str, advice: str) -> None:
        """It does not work."""
        self.findings.append(Finding(part, State.FAILED, what, advice))


def start_or_check(setting: str, *, is_set: bool) -> str:
    """What to do about a server that does not answer: ours can be started."""
    if is_set:
        return f"check that it runs and that {setting} is right"
    return f"start it with `make run` (only the servers: `cart stack`), or set {setting}"
