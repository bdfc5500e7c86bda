"""`python -m tests.support.consumer_under_test`: the consumer, which dies where a test says.

CART_TEST_DIE_AT names a file. Whenever the consumer comes to the moment that stands in it, it takes
the file away and kills itself, as kill -9 does. Without the file it is the production consumer.
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

# Each death costs seconds, so only those that would lose or repeat most.
MOMENTS = ("after start", "after take", "before commit")
PARKING_MOMENTS = ("after park",)
VARIABLE = "CART_TEST_DIE_AT"
STEPS: tuple[tuple[type, str], ...] = (
    (EventHandler, "take"),
    (CartGateway, "start"),
    (DeadLetters, "park"),
    (AIOKafkaConsumer, "commit"),
)
"""What the consumer waits for, by the class and its coroutine method."""
# A member that was killed is missed sooner, so that the next one need not wait so long.
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
    """Its coroutine method asks before and after whether that is the moment."""
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
