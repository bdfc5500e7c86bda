"""`cart dlq`: dead letters, which are messages that could not be processed.

The topic is append-only: replaying or dropping a letter appends a note, and `list --all` still
shows the letter. `letters` reads and filters letters, and acts on them.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from adapters.kafka.dead_letters import DeadLetters, Letter
from cli.console import show
from cli.dlq.letters import Act, LetterChoice, LetterFilter, all_letters, by_id, for_each
from cli.options import AsJson, DryRun, Why, grouped
from cli.tables import Column, Table
from cli.texts import brief
from settings import load_settings

VALUE_CHARACTERS = 2000


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(
        no_args_is_help=True, help="List, replay or drop events that could not be processed."
    )
    group.command("list")(list_letters)
    group.command("show")(show_letter)
    group.command("replay")(replay)
    group.command("drop")(drop)
    app.add_typer(group, name="dlq")


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
        for letter in all_letters(load_settings())
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


def show_letter(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="The letter's id.")],
    as_json: AsJson = False,
) -> None:
    """Show one letter with its message."""
    [letter] = by_id(all_letters(load_settings()), [letter_id])
    document = _as_dict(letter) | {
        "headers": {name: value.decode(errors="replace") for name, value in letter.headers},
        "value": _text_of(letter)[:VALUE_CHARACTERS],
    }
    lines = (
        f"{name + ':':<16} {'-' if value is None else value}" for name, value in document.items()
    )
    show(document, *lines, as_json=as_json)


@grouped
def replay(*, which: LetterChoice, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Send messages again to the topic they came from; each takes effect at most once."""
    _resolve("replayed", which, DeadLetters.replay, dry_run=dry_run, as_json=as_json, whole=True)


@grouped
def drop(
    *, which: LetterChoice, reason: Why, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Mark letters as dropped, with the reason; their messages are never replayed."""

    async def act(letters: DeadLetters, letter: Letter) -> None:
        await letters.drop(letter, reason)

    _resolve("dropped", which, act, dry_run=dry_run, as_json=as_json)


def _resolve(
    done: str, which: LetterChoice, act: Act, *, dry_run: bool, as_json: bool, whole: bool = False
) -> None:
    """Does something with each letter that is chosen; with `whole` only with complete ones."""
    settings = load_settings()
    chosen = which.choose(all_letters(settings))
    cut = [letter for letter in chosen if whole and not letter.is_whole]
    taken = [letter for letter in chosen if letter.is_whole or not whole]
    if not dry_run:
        for_each(settings, taken, act)
    show(
        {
            "dryRun": dry_run,
            done: [letter.id for letter in taken],
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
        f"{len(taken)} {'would be ' if dry_run else ''}{done}",
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
        (Column("parked", spare=2), lambda letter: letter["parkedAt"]),
        (Column("topic", spare=1), lambda letter: letter["topic"]),
        ("key", lambda letter: letter["key"]),
        ("error", _error),
        (Column("detail", prose=True), lambda letter: brief(letter["detail"])),
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
