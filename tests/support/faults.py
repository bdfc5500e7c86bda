"""Faults at the adapters' edge: the adapters are the real ones, their calls fail as told."""

import asyncio
import inspect
from collections import defaultdict
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Literal

When = Literal["before", "after"]
"""Before: the call is not made. After: it is made, and its answer is lost."""


@dataclass
class Faults:
    """What the next calls of a method meet."""

    _errors: dict[tuple[str, When], list[Exception]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _gates: dict[str, tuple[asyncio.Event, asyncio.Event]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def fail(self, method: str, when: When, error: Exception, *, times: int = 1) -> None:
        """Lets the next calls of a method fail."""
        self._errors[method, when] += [error] * times

    def heal(self) -> None:
        """No further call fails, and none is held."""
        self._errors.clear()
        for _, opened in self._gates.values():
            opened.set()
        self._gates.clear()

    def hold(self, method: str) -> tuple[asyncio.Event, asyncio.Event]:
        """Holds calls of a method: (set when one has arrived, to be set to let them go on)."""
        self._gates[method] = (asyncio.Event(), asyncio.Event())
        return self._gates[method]

    async def meet(self, method: str, when: When) -> None:
        if when == "before":
            self.calls[method] += 1
            if method in self._gates:
                arrived, opened = self._gates[method]
                arrived.set()
                await opened.wait()
        if self._errors[method, when]:
            raise self._errors[method, when].pop(0)


def faulty(adapter: Any, faults: Faults) -> Any:
    """The same adapter, whose public coroutine methods meet the faults first and last."""
    for name, method in inspect.getmembers(adapter, inspect.iscoroutinefunction):
        if not name.startswith("_") and name not in {"connect", "close"}:
            setattr(adapter, name, _meeting(name, method, faults))
    return adapter


def _meeting(name: str, method: Any, faults: Faults) -> Any:
    @wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        await faults.meet(name, "before")
        result = await method(*args, **kwargs)
        await faults.meet(name, "after")
        return result

    return call
