"""The command: its options, its progress and its report."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TextIO

import typer
from pymongo.errors import ConfigurationError, PyMongoError

from adapters.inventory import InventoryClient
from adapters.mongo.imports import ImportedCarts
from adapters.mongo.store_policies import StorePolicies
from adapters.mongo.stores import StoreRegistry
from cli.audit import audited
from cli.console import CliError, ExitCode, show, warn
from cli.import_.differences import Difference
from cli.import_.holds import Holds
from cli.import_.run import Pass, Summary, Target
from cli.import_.source import COLLECTION, count, documents, of_store, original_carts
from cli.ops.connections import connected
from cli.options import AsJson, By, OnlyStore, operator
from cli.tables import Column, Table
from models.actor import Actor, ActorType
from ops.connections import Connections
from ops.times import span
from ops.words import reason
from workflows.requests import policy_of
from workflows.upkeep.schedules import watch_paused

PROGRESS_SECONDS = 5.0
_WHILE_IMPORTING = "Paused by cart import: the holds of carts to come are not leaked"

Source = Annotated[
    str, typer.Option("--from", metavar="URI", help="The MongoDB URI of the original database.")
]


@connected
async def import_(
    connections: Connections,
    *,
    source: Source,
    collection: Annotated[
        str, typer.Option("--collection", help="The collection of the original carts.")
    ] = COLLECTION,
    store: OnlyStore = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Import. Without it, only the report is made.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write every difference to this file (JSONL).")
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Bring the carts of the original Node.js service here.

    First as a dry run, then with --apply. Safe to repeat: what was imported stays as it is. Exits
    1 when carts were left out.
    """
    settings = connections.settings
    actor = Actor(type=ActorType.OPERATOR, id=operator(by))
    try:
        async with AsyncExitStack() as stack:
            carts = await stack.enter_async_context(original_carts(source, collection))
            wanted = of_store(store)
            total = await count(carts, wanted)
            holds = None
            if apply:
                await stack.enter_async_context(_watch_paused(connections))
                inventory = InventoryClient.of(settings)
                stack.push_async_callback(inventory.close)
                holds = Holds(inventory, StoreRegistry())
            policies = StorePolicies(policy_of(settings), connections.store_settings.read_all)
            stack.push_async_callback(policies.close)
            target = Target(ImportedCarts(connections.carts.client), holds)
            lines = stack.enter_context(report.open("w")) if report else None
            one = Pass(target, policies, actor, _writer(lines))
            progress = _Progress(total)
            async for summary in one.run(documents(carts, wanted)):
                progress.show(summary)
    except ConfigurationError as error:
        raise CliError(f"--from: {error}", exit_code=ExitCode.USAGE) from None
    except PyMongoError as error:
        raise CliError(f"--from: {reason(error)}; it is safe to run this again") from None
    except OSError as error:
        raise CliError(f"--report: {error.strerror}", exit_code=ExitCode.USAGE) from None
    summary = one.summary
    if apply:
        await audited(
            connections.gateway, "import", by=actor.id, count=summary.imported, storeId=store
        )
    show(_document(summary, apply=apply), *_parts(summary, apply=apply), as_json=as_json)
    return ExitCode.PROBLEM if summary.left else ExitCode.OK


@asynccontextmanager
async def _watch_paused(connections: Connections) -> AsyncIterator[None]:
    try:
        async with watch_paused(connections.temporal, _WHILE_IMPORTING):
            yield
    except LookupError:
        raise CliError("Start a worker first: it makes the schedules that --apply pauses") from None


def _writer(file: TextIO | None) -> Callable[[Difference], None]:
    """Writes differences to a file, as they are found."""

    def write(difference: Difference) -> None:
        if file is not None:
            file.write(json.dumps(asdict(difference), ensure_ascii=False) + "\n")

    return write


class _Progress:
    """Says on standard error how far a pass is."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = self._said = time.monotonic()

    def show(self, summary: Summary) -> None:
        """At most every `PROGRESS_SECONDS`."""
        now = time.monotonic()
        if now - self._said < PROGRESS_SECONDS:
            return
        self._said = now
        rate = summary.carts / (now - self._began)
        left = span((self._total - summary.carts) / rate) if rate else "?"
        warn(f"{summary.carts} of {self._total} carts, {rate:.0f} a second, about {left} left")


def _document(summary: Summary, *, apply: bool) -> dict[str, object]:
    return {
        "dryRun": not apply,
        "carts": summary.carts,
        "imported": summary.imported,
        "already": summary.already,
        "left": summary.left,
        "differences": {kind.value: number for kind, number in summary.differences.items()},
        "examples": [asdict(one) for ones in summary.examples.values() for one in ones],
    }


def _parts(summary: Summary, *, apply: bool) -> list[Table | str]:
    parts: list[Table | str] = []
    if summary.differences:
        parts.append(
            Table(
                summary.differences.most_common(),
                ("difference", lambda row: row[0].value),
                (Column("carts", right=True), lambda row: row[1]),
                (Column("what", prose=True, spare=1), lambda row: row[0].meaning),
                (
                    Column("for example", prose=True, spare=2),
                    lambda row: "; ".join(map(_shown, summary.examples[row[0]])),
                ),
            )
        )
    verb = "imported" if apply else "can be imported"
    parts.append(
        f"{summary.carts} carts read: {summary.imported} {verb}, {summary.already} imported "
        f"before, {summary.left} left out"
    )
    if not apply:
        parts.append("Nothing was changed: --apply imports them.")
    return parts


def _shown(difference: Difference) -> str:
    product = f" {difference.product_id}" if difference.product_id else ""
    return f"{difference.cart_id}{product}: {difference.detail}"
