"""Times for operators: how they are written and shown."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """`90s`, `5m`, `2h` or `1d`; raises `ValueError`."""
    matched = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if matched is None:
        raise ValueError(f"{text!r} is no duration: give for instance 90s, 5m, 2h or 1d")
    return timedelta(**{_UNITS[matched[2]]: int(matched[1])})


def moment(text: str) -> datetime:
    """A time, in UTC unless it says otherwise, or a duration before now; raises `ValueError`.

    >>> moment("2026-01-27T10:30").isoformat()
    '2026-01-27T10:30:00+00:00'
    """
    with suppress(ValueError):
        return datetime.now(UTC) - duration(text)
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: give 2026-01-27T10:30, or 24h for so long ago"
        ) from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def stamp(at: datetime) -> str:
    """A time to the second, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def span(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 120:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    for unit, size in (("d", 86_400), ("h", 3_600)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 60:.0f} min"


def ago(at: datetime | None, now: datetime) -> str:
    """How long a time is past; empty without one."""
    return span((now - at).total_seconds()) if at else ""
