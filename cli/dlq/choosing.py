"""Which letters are meant: by their ids, by filters, or all."""

from collections.abc import Iterable
from datetime import UTC, datetime

from adapters.kafka.dead_letters import Letter
from cli.console import CliError
from models.wire import timestamp


def choose(
    found: list[Letter], ids: list[str] | None, everything: bool, **filters: str | None
) -> list[Letter]:
    """The letters that are meant and still wait; raises `CliError` when none was named."""
    if not ids and not everything and not any(filters.values()):
        raise CliError("name letters by their ids or by a filter, or say --all", exit_code=2)
    meant = by_id(found, ids) if ids else found
    return [letter for letter in matching(meant, **filters) if letter.resolution is None]


def by_id(found: list[Letter], ids: list[str]) -> list[Letter]:
    known = {letter.id: letter for letter in found}
    unknown = [name for name in ids if name not in known]
    if unknown:
        raise CliError(f"no letter {', '.join(unknown)}: see cart dlq list --all", exit_code=2)
    return [known[name] for name in dict.fromkeys(ids)]


def matching(
    found: Iterable[Letter],
    *,
    topic: str | None,
    error: str | None,
    key: str | None,
    since: str | None,
) -> list[Letter]:
    earliest = ""
    if since is not None:
        try:
            moment = datetime.fromisoformat(since)
        except ValueError:
            raise CliError(f"--since {since}: must be as 2026-01-27T10:30", exit_code=2) from None
        earliest = timestamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return [
        letter
        for letter in found
        if topic in {None, letter.topic}
        and error in {None, letter.error}
        and (key is None or letter.key == key.encode())
        and letter.parked_at >= earliest
    ]
