"""How letters look: as a table with counts, and as JSON."""

from collections import Counter
from typing import Any

from rich.table import Table

from adapters.kafka.dead_letters import Letter
from cli.console import output, print_json


def as_dict(letter: Letter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "key": None if letter.key is None else letter.key.decode(errors="replace"),
        "size": letter.size,
        "error": letter.error,
        "detail": letter.detail,
        "parkedAt": letter.parked_at,
        "resolution": letter.resolution,
        "resolvedAt": letter.resolved_at,
        "resolvedBecause": letter.resolved_because,
    }


def counts(found: list[Letter]) -> list[dict[str, Any]]:
    counted = Counter((letter.topic, letter.error) for letter in found)
    return [
        {"topic": topic, "error": error, "count": count}
        for (topic, error), count in sorted(counted.items())
    ]


def show_list(found: list[Letter], limit: int, as_json: bool) -> None:
    shown = found[-limit:]
    if as_json:
        letters = [as_dict(letter) for letter in shown]
        print_json({"count": len(found), "counts": counts(found), "letters": letters})
        return
    console = output()
    if shown:
        table = Table("id", "parked", "topic", "key", "error", "detail")
        for letter in shown:
            fields = as_dict(letter)
            error = letter.error + (f" ({letter.resolution})" if letter.resolution else "")
            parts = (letter.id, letter.parked_at, letter.topic, fields["key"] or "", error)
            table.add_row(*parts, letter.detail)
        console.print(table)
    for row in counts(found):
        console.print(f"{row['count']} {row['error']} from {row['topic']}")
    more = f", the latest {len(shown)} shown" if len(shown) < len(found) else ""
    console.print(f"{len(found)} letters{more}")


def report(
    what: str,
    done: list[Letter],
    dry_run: bool,
    as_json: bool,
    *,
    left: list[Letter] | None = None,
) -> None:
    left = left or []
    if as_json:
        print_json(
            {
                "dryRun": dry_run,
                what: [letter.id for letter in done],
                "counts": counts(done),
                "tooLarge": [letter.id for letter in left],
            }
        )
        return
    console = output()
    for row in counts(done):
        console.print(f"{row['count']} {row['error']} from {row['topic']}")
    for letter in left:
        place = f"{letter.topic}/{letter.partition} at {letter.offset}"
        console.print(f"{letter.id} is too large to be replayed; it stands in {place}")
    console.print(f"{len(done)} {'would be ' if dry_run else ''}{what}")
