"""The domain's errors.

    CartServiceError
    ├── DependencyUnavailable      a system we need did not answer; what it did is unknown
    │   └── DependencyTimeout      … within its time: asking again at once would take as long
    ├── EffectRefused              a system answered that it does not take this one effect
    ├── EarlierEventsPending       the cart has events of earlier operations to publish first
    ├── VersionConflict            the cart moved on since it was loaded; load and try again
    ├── RunAlreadyAborted          this run was settled as aborted: it can never commit
    ├── AlreadyCommitted           another run committed the same operation
    ├── OperationInProgress        the cart, or the same key, is busy; nothing was started
    ├── OperationAborted           it ran, and changed nothing; it may be tried again
    └── EventUnusable              an event that can never have its effect

A business refusal (insufficient stock, a limit) is no error: it is a `Refusal`, a value.
"""


class CartServiceError(Exception):
    """Any error of the domain."""


class DependencyUnavailable(CartServiceError):
    """`dependency` is one of mongodb, redis, kafka, inventory, temporal."""

    def __init__(self, dependency: str, detail: str = "") -> None:
        super().__init__(f"{dependency} is unavailable{': ' if detail else ''}{detail}")
        self.dependency = dependency
        self.detail = detail


class DependencyTimeout(DependencyUnavailable):
    """The call's time ran out; it may have been done."""


class EffectRefused(CartServiceError):
    """`dependency` is well, and answered that it does not take the effect `effect_id`.

    Asking again does not help until somebody changes something; other effects may be taken.
    """

    def __init__(self, effect_id: str, dependency: str, detail: str) -> None:
        super().__init__(f"{dependency} refuses effect {effect_id}: {detail}")
        self.effect_id = effect_id


class EarlierEventsPending(CartServiceError):
    """Nothing was published: the relay will, in the order of the cart."""


class VersionConflict(CartServiceError):
    """The cart in MongoDB no longer has the version that the change was made for."""


class RunAlreadyAborted(CartServiceError):
    """The run's record says `aborted`, so its pivot must not be tried again."""


class AlreadyCommitted(CartServiceError):
    """The same operation (user, store, key) was committed by another run."""

    def __init__(self, run_id: str, fingerprint: str) -> None:
        super().__init__(f"the operation was committed by run {run_id}")
        self.run_id = run_id
        self.fingerprint = fingerprint


class OperationInProgress(CartServiceError):
    """Another operation holds the cart, or the same key is being processed."""


class OperationAborted(CartServiceError):
    """The operation was undone for a passing reason, which is the error's text."""


class EventUnusable(CartServiceError):
    """A message that no second try can help; `code` is stable, `detail` is for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
