"""How sagas, relays and effects look on a terminal."""

import textwrap
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.ops.dossier import Dossier
from cli.ops.history import Entry
from cli.ops.relays import PendingEffect, RelayState
from cli.ops.sagas import End, Saga
from cli.ops.stuck import Problem

NOTE_CHARACTERS = 160  # drivers describe every server that they have tried
_STYLES = {
    End.COMMITTED: "green",
    End.RUNNING: "cyan",
    End.ABORTED: "yellow",
    End.FAILED: "bold red",
}


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, folds: Collection[str] = ()
) -> Table:
    """A table whose columns are as wide as they must be; those of `folds` share the rest."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, no_wrap=column not in folds, overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def saga_table(sagas: Sequence[Saga], now: datetime) -> Table:
    return table(
        ("started", "took", "operation", "store", "user", "product", "outcome", "run"),
        (
            (
                stamp(saga.started_at),
                span(saga.seconds(now)),
                saga.operation or "",
                saga.store_id or "",
                saga.user_id or "",
                saga.product_id or "",
                outcome(saga),
                saga.run_id,
            )
            for saga in sagas
        ),
        folds=("run",),
    )


def outcome(saga: Saga) -> Text:
    text = f"{saga.end}, needs attention" if saga.attention else saga.end.value
    return Text(text, _STYLES.get(saga.end, ""))


def relay_table(relays: Sequence[RelayState], now: datetime) -> Table:
    return table(
        ("relay", "pending", "oldest", "state", "what it says"),
        (
            (
                relay.name,
                str(relay.effects),
                span((now - relay.oldest).total_seconds()) if relay.oldest else "",
                relay_state(relay),
                relay.says,
            )
            for relay in relays
        ),
        folds=("what it says",),
    )


def relay_state(relay: RelayState) -> Text:
    if not relay.running:
        return Text("not running", "yellow")
    return Text("needs attention", "bold red") if relay.attention else Text("at work", "green")


def effect_table(effects: Sequence[PendingEffect], now: datetime) -> Table:
    return table(
        ("since", "effect", "what", "store", "user", "relay"),
        (
            (
                span((now - effect.since).total_seconds()),
                effect.id,
                f"{effect.kind} {effect.what}",
                effect.store_id,
                effect.user_id,
                f"{effect.relay[0]}/{effect.relay[1]}",
            )
            for effect in effects
        ),
        folds=("what",),
    )


def step_table(steps: Sequence[Entry], started: datetime) -> Table:
    return table(
        ("after", "step", "took", "tries", "note"),
        (
            (
                span((step.at - started).total_seconds()),
                step.what,
                "" if step.seconds is None else span(step.seconds),
                "" if step.tries is None else str(step.tries),
                textwrap.shorten(step.note, NOTE_CHARACTERS, placeholder=" …"),
            )
            for step in steps
        ),
        folds=("note",),
    )


def problem_table(problems: Sequence[Problem], now: datetime) -> Table:
    return table(
        ("since", "what", "what to do"),
        (
            (
                span((now - problem.since).total_seconds()) if problem.since else "",
                Text(problem.what, "bold red"),
                problem.advice,
            )
            for problem in problems
        ),
        folds=("what", "what to do"),
    )


def print_dossier(console: Console, dossier: Dossier) -> None:
    """A saga on one page."""
    saga = dossier.saga
    console.print(
        Text(f"{saga.operation} ", "bold"),
        outcome(saga),
        f" after {span(saga.seconds(dossier.at))}",
        sep="",
    )
    facts = {
        "cart": f"{saga.store_id}/{saga.user_id}",
        "product": saga.product_id,
        "order": saga.order_id,
        "started": stamp(saga.started_at),
        "saga": dossier.saga_id,
        "run": saga.run_id,
        "reason": dossier.reason,
        "says": dossier.says,
        "page": saga.url,
    }
    for name, value in facts.items():
        if value:
            console.print(f"  {name:<9}{value}", soft_wrap=True)
    console.print(step_table(dossier.steps, saga.started_at))
    console.print(_cart(dossier), soft_wrap=True)
    console.print(_holds(dossier), soft_wrap=True)
    if dossier.effects:
        console.print(effect_table(dossier.effects, dossier.at))
    console.print(Text("What to do next", "bold"))
    for advice in dossier.next:
        console.print(f"  {advice}", soft_wrap=True)


def _cart(dossier: Dossier) -> str:
    cart = dossier.cart
    if "mongodb" in dossier.unknown:
        return "Cart: not known"
    if cart is None:
        return "Cart: none"
    return f"Cart: {cart.id}, version {cart.version}, {_units(dossier.lines)}"


def _holds(dossier: Dossier) -> str:
    if dossier.holds is None:
        return "Held by the inventory: not known"
    return f"Held by the inventory: {_units(dossier.holds)}"


def _units(units: dict[str, int]) -> str:
    return ", ".join(f"{count} x {product}" for product, count in units.items()) or "nothing"


def stamp(at: datetime) -> str:
    """UTC, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


def span(seconds: float) -> str:
    """A time that passed, in the unit that suits it."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 120:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    for unit, size in (("d", 86_400), ("h", 3_600)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 60:.0f} min"
