"""A repair of how the driver waits for a connection, for Python 3.11.

The driver waits with `asyncio.wait_for`. Up to Python 3.11 that runs the wait as a task of its own.
When the wait has timed out and its caller is cancelled at the same time, that task still takes the
lock of the connection pool, and never releases it: every later command of the process waits for
ever. It happens when many commands time out together, for instance under a load that is too high.
From Python 3.12 on `wait_for` is what this module does.
"""

import asyncio
import sys
from contextlib import suppress

from pymongo.asynchronous import pool, topology
from pymongo.lock import Condition

WAIT = "_async_cond_wait"


async def wait_in_task(condition: Condition, timeout: float | None) -> bool:
    """Waits for a condition in the task of the caller; False after `timeout` seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            return await condition.wait()
    return False


def repair() -> None:
    """Lets the driver wait so. Safe to repeat."""
    if sys.version_info < (3, 12):
        for module in (pool, topology):
            if not hasattr(module, WAIT):  # a later version of the driver
                raise ImportError(f"{module.__name__} has no {WAIT}")
            setattr(module, WAIT, wait_in_task)
