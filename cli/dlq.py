"""`cart dlq`: dead letters, which are messages that could not be processed.

The topic is append-only: replaying or dropping a letter appends a note, and `list --all` still
shows the letter.
"""

import asyncio
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

import typer
from aiokafka.errors import KafkaError

from adapters.kafka.dead_letters import DeadLetters, Letter, letters
from adapters.kafka.publisher import EventPublisher, ping
from cli.audit import audited_now
from cli.console import CliError, show
from cli.options import AsJson, By, DryRun, Why, grouped, operator, parsed_by
from cli.tables import Column, Table
from models.errors import DependencyUnavailable, EffectRefused
from models.wire import timestamp
from ops.times import moment
from ops.words import brief, reason
from settings import Settings, load_settings

dlq = typer.Typer()
ANSWER_SECONDS = 4.0
"""How long a broker has for its first answer, before a topic is read."""
TIMEOUT_SECONDS = 60.0
VALUE_CHARACTERS = 2000

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


@dlq.command("list")
@grouped
def list_letters(
    *,
    which: LetterFilter,
    resolved: Annotated[
        bool, typer.Option("--all", help="Include letters that were replayed or dropped.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most letters to show.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List letters, the latest last, with counts by topic and error."""
    found = [
        letter
        for letter in _bounded(letters(load_settings()))
        if which.matches(letter) and (resolved or letter.resolution is None)
    ]
    shown = [_as_dict(letter) for letter in found[-limit:]]
    more = f", the latest {limit} shown" if len(found) > limit else ""
    show(
        {"count": len(found), "counts": _counts(found), "letters": shown},
        *([_table(shown)] if shown else []),
        *_count_lines(found),
        f"{len(found)} letters{more}",
        as_json=as_json,
    )


@dlq.command("show")
def show_letter(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="The letter's id.")],
    as_json: AsJson = False,
) -> None:
    """Show one letter with its message."""
    [letter] = by_id(_bounded(letters(load_settings())), [letter_id])
    document = _as_dict(letter) | {
        "headers": {name: value.decode(errors="replace") for name, value in letter.headers},
        "value": _text_of(letter)[:VALUE_CHARACTERS],
    }
    lines = (
        f"{name + ':':<16} {'-' if value is None else value}" for name, value in document.items()
    )
    show(document, *lines, as_json=as_json)


@dlq.command()
@grouped
def replay(
    *, which: LetterChoice, by: By = None, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Send messages again to the topic they came from; each takes effect at most once."""
    done = _Done("dlq_replay", "replayed", operator(by))
    _resolve(done, which, DeadLetters.replay, dry_run=dry_run, as_json=as_json, whole=True)


@dlq.command()
@grouped
def drop(
    *,
    which: LetterChoice,
    reason: Why,
    by: By = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Mark letters as dropped, with the reason; their messages are never replayed."""

    async def act(letters: DeadLetters, letter: Letter) -> None:
        await letters.drop(letter, reason)

    done = _Done("dlq_drop", "dropped", operator(by), reason)
    _resolve(done, which, act, dry_run=dry_run, as_json=as_json)


@dataclass(frozen=True)
class _Done:
    """What a command does to letters, and in whose name."""

    command: str
    word: str
    by: str
    reason: str | None = None


def _resolve(
    done: _Done, which: LetterChoice, act: Act, *, dry_run: bool, as_json: bool, whole: bool = False
) -> None:
    """Does something with each letter that is chosen; with `whole` only with complete ones."""
    settings = load_settings()
    chosen = which.choose(_bounded(letters(settings)))
    cut = [letter for letter in chosen if whole and not letter.is_whole]
    taken = [letter for letter in chosen if letter.is_whole or not whole]
    if not dry_run:
        _bounded(_for_each(settings, taken, act))
        names = [letter.id for letter in taken]
        audited_now(
            settings, done.command, by=done.by, count=len(taken), reason=done.reason, letters=names
        )
    show(
        {
            "dryRun": dry_run,
            done.word: [letter.id for letter in taken],
            "counts": _counts(taken),
            "tooLarge": [letter.id for letter in cut if letter.raw is None],
            "undecodable": [letter.id for letter in cut if letter.raw is not None],
        },
        *_count_lines(taken),
        *(
            f"{letter.id} {'is too large' if letter.raw is None else 'is undecoded'} and not "
            f"replayed; it is in {letter.topic}/{letter.partition} at offset {letter.offset}"
            for letter in cut
        ),
        f"{len(taken)} {'would be ' if dry_run else ''}{done.word}",
        as_json=as_json,
    )


def _text_of(letter: Letter) -> str:
    """The value as text; as base64 if it is the bytes of what could not be decoded."""
    if letter.raw is not None:
        return b64encode(letter.value).decode()
    return letter.value.decode(errors="replace")


def _as_dict(letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": None if letter.key is None else letter.key.decode(errors="replace"),
        "size": letter.size,
        "error": letter.error,
        "detail": letter.detail,
        "raw": letter.raw,
        "parkedAt": letter.parked_at,
        "resolution": letter.resolution,
        "resolvedAt": letter.resolved_at,
        "resolvedBecause": letter.resolved_because,
    }


def _table(letters: Iterable[dict[str, Any]]) -> Table:
    return Table(
        letters,
        ("id", lambda letter: letter["id"]),
        ("parked", lambda letter: letter["parkedAt"]),
        ("error", _error),
        (Column("topic", spare=1), lambda letter: letter["topic"]),
        (Column("key", spare=2), lambda letter: letter["key"]),
        (Column("detail", prose=True, spare=3), lambda letter: brief(letter["detail"])),
    )


def _error(letter: dict[str, Any]) -> str:
    resolution = f" ({letter['resolution']})" if letter["resolution"] else ""
    return f"{letter['error']}{resolution}"


def _counts(letters: Iterable[Letter]) -> list[dict[str, Any]]:
    counted = Counter((letter.topic, letter.error) for letter in letters)
    return [
        {"topic": topic, "error": error, "count": count}
        for (topic, error), count in sorted(counted.items())
    ]


def _count_lines(letters: Iterable[Letter]) -> list[str]:
    return [f"{row['count']} {row['error']} from {row['topic']}" for row in _counts(letters)]


def by_id(found: list[Letter], ids: list[str]) -> list[Letter]:
    """The letters with these ids; raises `CliError` for an unknown id."""
    known = {letter.id: letter for letter in found}
    if unknown := [name for name in ids if name not in known]:
        raise CliError(f"no letter {', '.join(unknown)}: see cart dlq list --all", exit_code=2)
    return [known[name] for name in dict.fromkeys(ids)]


async def _for_each(settings: Settings, chosen: Iterable[Letter], act: Act) -> None:
    """Acts on each letter, in the order in which they were parked."""
    publisher = EventPublisher(settings)
    try:
        for letter in chosen:
            await act(DeadLetters(publisher), letter)
    finally:
        await publisher.close()


def _bounded(work: Coroutine[Any, Any, T]) -> T:
    """Runs work with Kafka; raises `CliError` when Kafka does not answer."""

    async def run() -> T:
        with closing(work):  # without an answer it is never begun
            await ping(load_settings(), timeout=ANSWER_SECONDS)
            return await asyncio.wait_for(work, TIMEOUT_SECONDS)

    try:
        return asyncio.run(run())
    except (KafkaError, OSError, TimeoutError, DependencyUnavailable, EffectRefused) as error:
        raise CliError(f"Kafka does not answer ({reason(error)}): see `cart doctor`") from None
