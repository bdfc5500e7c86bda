"""Exit codes of `cart ops`."""

from enum import IntEnum


class ExitCode(IntEnum):
    """0 to 2 are those of all commands."""

    OK = 0
    """Success."""
    PROBLEM = 1
    """A server does not answer, or (`stuck`) something needs attention."""
    USAGE = 2
    """The arguments or the settings cannot be used."""
    NOT_FOUND = 3
    """There is no such saga, effect or hold."""
    NOT_YET = 4
    """The timeout passed before the saga ended; it continues."""
    OTHERWISE = 5
    """The saga ended differently: `wait` saw no commit, or `abort` was too late."""
    NOT_CONFIRMED = 6
    """Nothing was changed, because the count was not confirmed."""
