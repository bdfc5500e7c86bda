"""Faults at the edge of the adapters: the adapters are real, and a test lets their calls fail."""

import asyncio
import inspect
from collections import defaultdict
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Literal

When = Literal["before", "after"]
"""`before`: the call is not made. `after`: the call is made, and its result is lost."""

FOR_EVER = 1000
"""Calls: more than a test makes."""

SHORT_DEADLINE = 2.0
"""Seconds of a saga in which one step fails for ever; the steps before it need less, also on a
busy machine."""


@dataclass
class CallFaults:
    """The faults of the next calls of each method."""

    _errors: dict[tuple[str, When], list[Exception]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _errors_at: dict[tuple[str, int, When], Exception] = field(default_factory=dict)
    _gates: dict[str, tuple[asyncio.Event, asyncio.Event]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def fail(self, method: str, when: When, error: Exception, *, times: int = 1) -> None:
        """Fails the next `times` calls of a method with an error."""
        self._errors[method, when] += [error] * times

    def fail_at(self, method: str, call: int, when: When, error: Exception) -> None:
        """Fails the call of a method with this number; 1 is the first of the test."""
        self._errors_at[method, call, when] = error

    def heal(self) -> None:
        """Removes all faults, and releases the calls that are held."""
        self._errors.clear()
        self._errors_at.clear()
        for _, opened in self._gates.values():
            opened.set()
        self._gates.clear()

    def hold(self, method: str) -> tuple[asyncio.Event, asyncio.Event]:
        """Holds the calls of a method.

        Returns two events: the first is set when a call arrives, and setting the second releases
        the calls.
        """
        self._gates[method] = (asyncio.Event(), asyncio.Event())
        return self._gates[method]

    async def apply(self, method: str, when: When) -> None:
        if when == "before":
            self.calls[method] += 1
            if method in self._gates:
                arrived, opened = self._gates[method]
                arrived.set()
                await opened.wait()
        if at := self._errors_at.get((method, self.calls[method], when)):
            raise at
        if self._errors[method, when]:
            raise self._errors[method, when].pop(0)


def with_call_faults(adapter: Any, faults: CallFaults) -> Any:
    """The same adapter, whose public coroutine methods apply the faults before and after."""
    for name, method in inspect.getmembers(adapter, inspect.iscoroutinefunction):
        if not name.startswith("_") and name not in {"connect", "close"}:
            setattr(adapter, name, _with_call_faults(name, method, faults))
    return adapter


def _with_call_faults(name: str, method: Any, faults: CallFaults) -> Any:
    @wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        await faults.apply(name, "before")
        result = await method(*args, **kwargs)
        await faults.apply(name, "after")
        return result

    return call
