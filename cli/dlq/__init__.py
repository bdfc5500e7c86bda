"""`cart dlq`: messages that could not be used, and what to do about them.

The topic is only ever appended to: a letter that was replayed or dropped stays there with a note,
and `--all` shows it again. `choosing` tells which letters are meant, `letters` does something with
them, `show` prints.
"""

from typing import Annotated

import typer

VALUE_CHARACTERS = 2000

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Letters, by their ids.")]
Topic = Annotated[str | None, typer.Option(help="Only those that came from this topic.")]
Error = Annotated[str | None, typer.Option(help="Only those with this error.")]
Key = Annotated[str | None, typer.Option(help="Only those with this key, mostly a cart's id.")]
Since = Annotated[str | None, typer.Option(help="Only those parked since, as 2026-01-27T10:30.")]
Everything = Annotated[bool, typer.Option("--all", help="All that wait, without any filter.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(no_args_is_help=True, help="Look after events that could not be used.")
    group.command("list")(list_letters)
    group.command("show")(show_letter)
    group.command("replay")(replay)
    group.command("drop")(drop)
    app.add_typer(group, name="dlq")


def list_letters(
    *,
    topic: Topic = None,
    error: Error = None,
    key: Key = None,
    since: Since = None,
    resolved: Annotated[
        bool, typer.Option("--all", help="Also those that were replayed or dropped.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Show at most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the letters, the latest last, and count them by topic and error."""
    from cli.dlq.choosing import matching  # noqa: PLC0415
    from cli.dlq.letters import all_letters  # noqa: PLC0415
    from cli.dlq.show import show_list  # noqa: PLC0415
    from settings import load_settings  # noqa: PLC0415

    chosen = matching(all_letters(load_settings()), topic=topic, error=error, key=key, since=since)
    found = [letter for letter in chosen if resolved or letter.resolution is None]
    show_list(found, limit, as_json)


def show_letter(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="The letter's id.")],
    as_json: AsJson = False,
) -> None:
    """Show one letter with its message."""
    from cli.console import output, print_json  # noqa: PLC0415
    from cli.dlq.choosing import by_id  # noqa: PLC0415
    from cli.dlq.letters import all_letters  # noqa: PLC0415
    from cli.dlq.show import as_dict  # noqa: PLC0415
    from settings import load_settings  # noqa: PLC0415

    [letter] = by_id(all_letters(load_settings()), [letter_id])
    fields = as_dict(letter) | {
        "headers": {name: value.decode(errors="replace") for name, value in letter.headers},
        "value": letter.value.decode(errors="replace")[:VALUE_CHARACTERS],
    }
    if as_json:
        print_json(fields)
        return
    console = output()
    for name, value in fields.items():
        console.print(f"{name + ':':<14} {value}", soft_wrap=True)


def replay(
    *,
    ids: Ids = None,
    topic: Topic = None,
    error: Error = None,
    key: Key = None,
    since: Since = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send messages again to the topic they came from; each has its effect at most once."""
    from cli.dlq.choosing import choose  # noqa: PLC0415
    from cli.dlq.letters import all_letters, for_each  # noqa: PLC0415
    from cli.dlq.show import report  # noqa: PLC0415
    from settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    found = all_letters(settings)
    chosen = choose(found, ids, everything, topic=topic, error=error, key=key, since=since)
    whole = [letter for letter in chosen if letter.is_whole]
    cut = [letter for letter in chosen if not letter.is_whole]
    if not dry_run:
        for_each(settings, whole, lambda dead_letters, letter: dead_letters.replay(letter))
    report("replayed", whole, dry_run, as_json, left=cut)


def drop(
    *,
    ids: Ids = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    topic: Topic = None,
    error: Error = None,
    key: Key = None,
    since: Since = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Note that nothing is to be done about letters, and why."""
    from cli.dlq.choosing import choose  # noqa: PLC0415
    from cli.dlq.letters import all_letters, for_each  # noqa: PLC0415
    from cli.dlq.show import report  # noqa: PLC0415
    from settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    found = all_letters(settings)
    chosen = choose(found, ids, everything, topic=topic, error=error, key=key, since=since)
    if not dry_run:
        for_each(settings, chosen, lambda dead_letters, letter: dead_letters.drop(letter, reason))
    report("dropped", chosen, dry_run, as_json)
