"""What the exit codes of `cart ops` mean."""

from enum import IntEnum


class Exit(IntEnum):
    """0 to 2 as for all commands."""

    OK = 0
    """Done; what was asked for is so."""
    PROBLEM = 1
    """A server does not answer, or (`stuck`) something needs attention."""
    USAGE = 2
    """The arguments or the settings cannot be used."""
    NOT_FOUND = 3
    """There is no such saga, effect or hold."""
    NOT_YET = 4
    """It had not ended when the time was over; it goes on."""
    OTHERWISE = 5
    """It has ended, but not as asked: `wait` did not see a commit, `abort` came too late."""
    NOT_CONFIRMED = 6
    """Nothing was done, because the count was not confirmed."""
