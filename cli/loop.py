"""The event loop of a command."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine, and returns without waiting for tasks that it has left behind.

    `asyncio.run` cancels them and waits for their ends. A call to a MongoDB that is away never ends
    once it is cancelled: PyMongo waits for a lock that nobody releases.
    """
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # of tasks that were left behind
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
