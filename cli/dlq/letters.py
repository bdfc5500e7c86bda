"""Dead letters: which are meant, and acting on each of them in Kafka."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar

import typer
from aiokafka.errors import KafkaError

from adapters.kafka.dead_letters import DeadLetters, Letter, letters
from adapters.kafka.publisher import EventPublisher
from cli.console import CliError, reason
from cli.options import parsed_by
from cli.times import moment
from models.errors import DependencyUnavailable, EffectRefused
from models.wire import timestamp
from settings import Settings

TIMEOUT_SECONDS = 60.0

Act = Callable[[DeadLetters, Letter], Awaitable[None]]
T = TypeVar("T")


@dataclass(frozen=True)
class LetterFilter:
    """Letters by where they came from and why they are here; None means any."""

    topic: Annotated[str | None, typer.Option(help="Only from this topic.")] = None
    error: Annotated[str | None, typer.Option(help="Only with this error.")] = None
    key: Annotated[str | None, typer.Option(help="Only with this key, mostly a cart's id.")] = None
    since: Annotated[
        datetime | None,
        parsed_by(moment, metavar="TIME", help="Only parked since 2026-01-27T10:30, or 24h ago."),
    ] = None

    def matches(self, letter: Letter) -> bool:
        """Whether the letter passes every filter."""
        return (
            self.topic in {None, letter.topic}
            and self.error in {None, letter.error}
            and (self.key is None or letter.key == self.key.encode())
            and (self.since is None or letter.parked_at >= timestamp(self.since))
        )


@dataclass(frozen=True)
class LetterChoice(LetterFilter):
    """The letters to act on: some must be chosen by id, by a filter or by `--all`."""

    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Letter ids.")] = None
    everything: Annotated[
        bool, typer.Option("--all", help="All open letters, without a filter.")
    ] = False

    def choose(self, found: list[Letter]) -> list[Letter]:
        """The chosen letters that are open; raises `CliError` when nothing was chosen."""
        if not (self.ids or self.everything or self.topic or self.error or self.key or self.since):
            raise CliError("name letters by their ids or by a filter, or say --all", exit_code=2)
        chosen = by_id(found, self.ids) if self.ids else found
        return [one for one in chosen if self.matches(one) and one.resolution is None]


def by_id(found: list[Letter], ids: list[str]) -> list[Letter]:
    """The letters with these ids; raises `CliError` for an unknown id."""
    known = {letter.id: letter for letter in found}
    if unknown := [name for name in ids if name not in known]:
        raise CliError(f"no letter {', '.join(unknown)}: see cart dlq list --all", exit_code=2)
    return [known[name] for name in dict.fromkeys(ids)]


def all_letters(settings: Settings) -> list[Letter]:
    """All letters of the topic; raises `CliError` when Kafka does not answer."""
    return _bounded(letters(settings))


def for_each(settings: Settings, chosen: Iterable[Letter], act: Act) -> None:
    """Acts on each letter, in the order in which they were parked."""

    async def work() -> None:
        publisher = EventPublisher(settings)
        try:
            for letter in chosen:
                await act(DeadLetters(publisher), letter)
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
