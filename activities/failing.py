"""What fails in a batch of calls, from the smallest thing that it can be about to the whole."""

FAILURES = 3

Path = tuple[str, ...]
"""What a call is about, the largest first: a store, a product, an effect."""


class Failing:
    """What not to call again in this batch, because it fails.

    A thing is failing when `FAILURES` different parts of it have failed, and none has succeeded
    since: a product by its effects, a store by its products, the dependency by its stores; and a
    partition by its carts, a topic by its partitions, Kafka by its topics.
    """

    def __init__(self) -> None:
        self._failed: dict[Path, set[str]] = {}

    def failed(self, *path: str) -> None:
        """Notes a failed call."""
        for length, part in enumerate(path):
            self._failed.setdefault(path[:length], set()).add(part)

    def succeeded(self, *path: str) -> None:
        """Notes a successful call."""
        for length in range(len(path)):
            self._failed.pop(path[:length], None)

    def is_failing(self, *path: str) -> bool:
        """Whether this, or something larger that it is a part of, is failing."""
        return any(
            len(self._failed.get(path[:length], ())) >= FAILURES for length in range(len(path) + 1)
        )
