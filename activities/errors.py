"""Domain errors -> typed `ApplicationError`s, in one place.

The type of the `ApplicationError` is the class name of the domain error; whether Temporal may retry
is decided here and nowhere else.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from models.errors import (
    AlreadyCommitted,
    CartServiceError,
    DependencyUnavailable,
    RunAlreadyAborted,
    VersionConflict,
)

# They say something that a second try cannot change.
_DECIDED = (AlreadyCommitted, RunAlreadyAborted, VersionConflict)


@contextmanager
def as_application_error(final: tuple[type[CartServiceError], ...] = ()) -> Iterator[None]:
    """Raises the `ApplicationError` for any domain error raised inside; `final` is not retried."""
    try:
        yield
    except CartServiceError as error:
        raise ApplicationError(
            str(error),
            *_details(error),
            type=type(error).__name__,
            non_retryable=isinstance(error, (*_DECIDED, *final)),
            # Foreseen: the saga deals with it, and adapters log a dependency's change of state.
            category=ApplicationErrorCategory.BENIGN,
        ) from error


def _details(error: CartServiceError) -> tuple[str, ...]:
    if isinstance(error, AlreadyCommitted):
        return (error.run_id, error.fingerprint)
    if isinstance(error, DependencyUnavailable):
        return (error.dependency,)
    return ()
