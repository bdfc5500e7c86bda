"""What the log says of outages of a dependency: each once, however often it comes and goes."""

import time

import structlog

from adapters.bounded_cache import BoundedCache

logger = structlog.stdlib.get_logger(__name__)

STEADY_SECONDS = 10.0
"""How long an outage must be over before the log says so: one that ends and begins again every
second is one outage."""
REPEATED_AFTER_SECONDS = 60.0
"""A line about the same subject, or a refusal, is written again after this time."""
MOST_LINES = 20
"""So many of these lines in that time, whatever they are about."""


_refusals: dict[tuple[str, str], tuple[float, str]] = {}
"""By dependency and call, of which there are few: when it refused last, and why."""


def latest_refusal(dependency: str, call: str) -> str | None:
    """Why a dependency refused a call in the last `REPEATED_AFTER_SECONDS`; None if it did not."""
    at, reason = _refusals.get((dependency, call), (-REPEATED_AFTER_SECONDS, ""))
    return reason if time.monotonic() - at < REPEATED_AFTER_SECONDS else None


class OutageLog:
    """The lines about one kind of call to one dependency."""

    def __init__(self, dependency: str, call: str) -> None:
        self._about = {"dependency": dependency, "call": call}
        self._is_down = False
        self._over_since = 0.0
        self._written: BoundedCache[str, float] = BoundedCache(max_size=MOST_LINES)

    def down(self, reason: str) -> None:
        """An outage begins, or begins again."""
        if not self._is_down:
            self._is_down = True
            self._warn("dependency_unavailable", "Dependency is unavailable", reason)
        self._over_since = 0.0

    def works(self) -> None:
        """A call has succeeded, and no outage lasts."""
        if not self._is_down:
            return
        now = time.monotonic()
        self._over_since = self._over_since or now
        if now - self._over_since >= STEADY_SECONDS:
            self._is_down = False
            logger.info(
                "dependency_available", message="Dependency is available again", **self._about
            )

    def failed(self, reason: str) -> None:
        """A call has failed, and it is not known yet whether others do."""
        if not self._is_down and self._may_write("a failure"):
            self._warn("dependency_call_failed", "Call to a dependency failed", reason)

    def fails_for(self, subject: str, reason: str) -> None:
        """Calls about one subject, such as a product, keep failing."""
        if self._may_write(subject):
            message = "Dependency keeps failing for one subject"
            self._warn("dependency_fails_for_one", message, reason, subject=subject)

    def refuses(self, reason: str) -> None:
        """The dependency answers with an error."""
        _refusals[self._about["dependency"], self._about["call"]] = time.monotonic(), reason
        if self._may_write("a refusal"):
            message = "Dependency answers, and refuses commands"
            self._warn("dependency_refuses", message, reason)

    def _warn(self, event: str, message: str, reason: str, **more: str) -> None:
        logger.warning(event, message=message, **self._about, **more, reason=reason)

    def _may_write(self, line: str) -> bool:
        now = time.monotonic()
        is_full = len(self._written) == MOST_LINES
        last = self._written.get(line, min(self._written.values()) if is_full else None)
        if last is not None and now - last < REPEATED_AFTER_SECONDS:
            return False
        self._written.keep(line, now)
        return True
