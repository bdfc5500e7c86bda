"""The domain's errors.

    CartServiceError
    ├── DependencyUnavailable      a system did not answer; the call may have taken effect
    │   ├── DependencyTimeout      it did not answer in time
    │   ├── DependencyRefuses      it answered with an error, whatever the request was
    │   └── NotSent                the call was not sent, so it had no effect
    ├── EffectRefused              a system refused one effect
    ├── EarlierEventsPending       earlier events of the cart must be published first
    ├── VersionConflict            the cart changed since it was loaded
    ├── OperationInProgress        the cart or the idempotency key is busy; nothing was started
    ├── OperationAborted           the operation was undone; it can be tried again
    └── EventUnusable              an event that cannot be processed

A business refusal (insufficient stock, a limit) is not an error, but a value: `Refusal`.
"""


class CartServiceError(Exception):
    """The base of the domain's errors."""


class DependencyUnavailable(CartServiceError):
    """A system did not answer. `dependency` is its name (docs/metrics.md)."""

    def __init__(self, dependency: str, detail: str = "") -> None:
        super().__init__(f"{dependency} is unavailable{': ' if detail else ''}{detail}")
        self.dependency = dependency
        self.detail = detail


class DependencyTimeout(DependencyUnavailable):
    """A call did not end in time. It may have taken effect."""


class DependencyRefuses(DependencyUnavailable):
    """The system answers, and refuses: it is full, read-only, or does not allow the command."""


class NotSent(DependencyUnavailable):
    """A call was not sent: the circuit is open, or there is no connection. It had no effect."""


class EffectRefused(CartServiceError):
    """An available `dependency` refused the effect `effect_id`.

    A retry fails until an operator fixes the cause. Other effects may succeed.
    """

    def __init__(self, effect_id: str, dependency: str, detail: str) -> None:
        super().__init__(f"{dependency} refuses effect {effect_id}: {detail}")
        self.effect_id = effect_id


class EarlierEventsPending(CartServiceError):
    """Nothing was published. The relay publishes the cart's events in order."""


class VersionConflict(CartServiceError):
    """The stored cart is not the version that the saga decided on."""


class OperationInProgress(CartServiceError):
    """Another operation on the cart, or one with the same idempotency key, is running."""


class OperationAborted(CartServiceError):
    """The operation was undone for a temporary reason (`models.outcomes.AbortReason`)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EventUnusable(CartServiceError):
    """A message that fails on every try. `code` is stable, `detail` is text for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
