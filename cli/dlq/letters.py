"""Reading letters, and doing something with each; Kafka's errors are told in our words."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from aiokafka.errors import KafkaError

from adapters.kafka.dead_letters import DeadLetters, Letter, letters
from adapters.kafka.publisher import EventPublisher
from cli.console import CliError, reason
from models.errors import DependencyUnavailable, EffectRefused
from settings import Settings

TIMEOUT_SECONDS = 60.0

T = TypeVar("T")


def all_letters(settings: Settings) -> list[Letter]:
    """All letters of the topic; raises `CliError` when Kafka does not answer."""
    return _bounded(letters(settings))


def for_each(
    settings: Settings,
    chosen: Iterable[Letter],
    what: Callable[[DeadLetters, Letter], Awaitable[None]],
) -> None:
    """Does it for each letter, in the order in which they were parked."""

    async def work() -> None:
        publisher = EventPublisher(settings)
        try:
            for letter in chosen:
                await what(DeadLetters(publisher), letter)
        finally:
            await publisher.close()

    _bounded(work())


def _bounded(work: Awaitable[T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await work

    try:
        return asyncio.run(bounded())
    except (KafkaError, OSError, TimeoutError, DependencyUnavailable, EffectRefused) as error:
        raise CliError(f"Kafka: {reason(error)}; see cart doctor") from None
