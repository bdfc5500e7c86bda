"""Raises domain errors as typed `ApplicationError`s, and decides which of them Temporal retries.

The type of an `ApplicationError` is the class name of the domain error.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from models.errors import CartServiceError, DependencyUnavailable, VersionConflict


@contextmanager
def as_application_error(final: tuple[type[CartServiceError], ...] = ()) -> Iterator[None]:
    """Raises any domain error of the block as an `ApplicationError`. `final` is not retried.

    Without the error's causes: with a driver's own errors and traces, Temporal shows only "Failure
    exceeds size limit" of a step that it tries again.
    """
    try:
        yield
    except CartServiceError as error:
        raise ApplicationError(
            str(error),
            *_details(error),
            type=type(error).__name__,
            non_retryable=isinstance(error, (VersionConflict, *final)),
            # The saga handles it. Circuit breakers log unavailable dependencies.
            category=ApplicationErrorCategory.BENIGN,
        ) from None


def _details(error: CartServiceError) -> tuple[str, ...]:
    if isinstance(error, DependencyUnavailable):
        return (error.dependency,)
    return ()
