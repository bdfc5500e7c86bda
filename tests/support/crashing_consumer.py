"""`python -m tests.support.crashing_consumer`: the consumer, which dies at a chosen moment.

CART_TEST_DIE_AT names a file that contains a moment. When the consumer reaches that moment, it
deletes the file and kills itself, as with kill -9. Without the file it is the production consumer.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer

import consumer
from adapters.kafka import consumer as event_consumer
from adapters.kafka.dead_letters import DeadLetters
from workflows.event_handler import EventHandler
from workflows.gateway import CartGateway

# Each death costs seconds, so these are the ones that could lose or repeat most.
MOMENTS = ("after start", "after take", "before commit")
PARKING_MOMENTS = ("after park",)
VARIABLE = "CART_TEST_DIE_AT"
STEPS: tuple[tuple[type, str], ...] = (
    (EventHandler, "take"),
    (CartGateway, "start"),
    (DeadLetters, "park"),
    (AIOKafkaConsumer, "commit"),
)
"""The calls of the consumer, by class and coroutine method."""
# A short session, so that the next member takes over soon after a kill.
SESSION_MS = 3_000


def _at(moment: str) -> None:
    file = Path(os.environ[VARIABLE])
    try:
        is_now = file.read_text() == moment
    except FileNotFoundError:
        return
    if is_now:
        file.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _mortal(owner: type, name: str) -> None:
    """Checks before and after a coroutine method whether its moment is the chosen one."""
    method: Callable[..., Any] = getattr(owner, name)

    @wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        _at(f"before {name}")
        result = await method(*args, **kwargs)
        _at(f"after {name}")
        return result

    setattr(owner, name, call)


if __name__ == "__main__":
    for step in STEPS:
        _mortal(*step)
    event_consumer.SESSION_MS = SESSION_MS
    sys.exit(consumer.main())
