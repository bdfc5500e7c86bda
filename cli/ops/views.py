"""Tables of sagas, relays and effects, and the page of one saga."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.text import Text

from cli.tables import Column, Table
from models.outcomes import Outcome
from ops.changes import LatestChange, LineOfChange
from ops.filters import RunState, SagaState
from ops.history import HistoryEntry
from ops.relays import PendingEffect, RelayState
from ops.report import SagaReport
from ops.sagas import SagaEnd, SagaSummary
from ops.stuck import StuckItem
from ops.times import ago, span, stamp
from ops.words import brief

STYLES: dict[SagaState, str] = {
    Outcome.COMMITTED: "green",
    Outcome.ABORTED: "yellow",
    RunState.RUNNING: "cyan",
    RunState.FAILED: "bold red",
    RunState.TIMED_OUT: "bold red",
    RunState.CANCELED: "yellow",
    RunState.TERMINATED: "bold red",
}


def saga_table(sagas: Iterable[SagaSummary], now: datetime) -> Table:
    return Table(
        sagas,
        ("started", lambda saga: stamp(saga.started_at)),
        (Column("operation", spare=1), lambda saga: saga.operation),
        ("outcome", _outcome),
        ("store", lambda saga: saga.store_id),
        ("user", lambda saga: saga.user_id),
        (Column("product", spare=2), lambda saga: saga.product_id),
        (Column("run", spare=4), lambda saga: saga.run_id),
        (Column("took", spare=3), lambda saga: span(saga.seconds(now))),
        (Column("reason", prose=True, spare=5), lambda saga: saga.reason),
    )


def _outcome(saga: SagaSummary) -> Text:
    return Text(saga.outcome, STYLES.get(saga.state, ""))


def end_table(ends: Iterable[SagaEnd]) -> Table:
    return Table(
        ends,
        ("cart", lambda end: end.saga.cart),
        ("operation", lambda end: end.saga.operation),
        ("outcome", lambda end: Text(end.state.replace("_", " "), STYLES.get(end.state, ""))),
        ("took", lambda end: span(end.seconds)),
        (Column("reason", prose=True, spare=1), lambda end: brief(end.reason or "")),
    )


def relay_table(relays: Iterable[RelayState], now: datetime) -> Table:
    return Table(
        relays,
        ("relay", lambda relay: relay.relay),
        ("pending", lambda relay: "?" if relay.effects is None else relay.effects),
        ("oldest", lambda relay: ago(relay.oldest, now)),
        ("state", _relay_state),
        (Column("details", prose=True, spare=1), lambda relay: brief(relay.says)),
    )


def _relay_state(relay: RelayState) -> Text:
    if relay.running is None:
        return Text("unknown", "yellow")
    if not relay.running:
        return Text("not running", "yellow")
    if relay.paused_since is not None:
        return Text("paused", "bold red")
    if relay.attention:
        return Text("needs attention", "bold red")
    return Text("running", "green")


def effect_table(effects: Iterable[PendingEffect], now: datetime) -> Table:
    return Table(
        effects,
        ("since", lambda effect: ago(effect.since, now)),
        ("effect", lambda effect: effect.effect_id),
        (Column("what", prose=True), lambda effect: f"{effect.kind} {effect.what}"),
        ("relay", lambda effect: effect.relay),
        (Column("store", spare=1), lambda effect: effect.store_id),
        (Column("user", spare=1), lambda effect: effect.user_id),
    )


def step_table(steps: Iterable[HistoryEntry], started: datetime) -> Table:
    return Table(
        steps,
        ("after", lambda step: ago(started, step.at)),
        ("step", lambda step: step.what),
        ("took", lambda step: None if step.seconds is None else span(step.seconds)),
        ("tries", lambda step: step.tries),
        (Column("note", prose=True, spare=1), lambda step: brief(step.note)),
    )


def stuck_table(items: Sequence[StuckItem], now: datetime) -> Table:
    return Table(
        items,
        ("since", lambda item: ago(item.since, now)),
        (Column("what", prose=True), lambda item: Text(item.what, "bold red")),
        (Column("what to do", prose=True), lambda item: item.advice),
        (Column("run", spare=1), lambda item: item.run),
    )


def line_table(lines: Sequence[LineOfChange]) -> Table:
    return Table(
        lines,
        ("product", lambda line: line.product_id),
        ("units", lambda line: line.units),
        (Column("price", right=True), lambda line: line.price),
        ("availability", lambda line: line.availability),
        (Column("inventory", prose=True, spare=1), lambda line: line.inventory),
    )


def latest_table(changes: Iterable[LatestChange]) -> Table:
    return Table(
        changes,
        ("at", lambda change: stamp(change.at)),
        ("operation", lambda change: change.operation),
        ("outcome", lambda change: change.outcome),
        (Column("run", spare=1), lambda change: change.run_id),
        (Column("what", prose=True, spare=2), lambda change: change.what),
    )


def report_page(report: SagaReport) -> list[Table | Text | str]:
    """A cart and one saga of it on one page."""
    saga = report.saga
    parts: list[Table | Text | str] = [
        *_saga_facts(report),
        *([line_table(report.changes)] if report.changes else []),
        *(f"Found: {repair}" for repair in report.repairs),
        *([step_table(report.steps, saga.started_at)] if saga and report.steps else []),
        f"Cart: {_cart(report)}",
        f"Reserved in the inventory: {_units(report.holds)}",
        *([effect_table(report.effects, report.at)] if report.effects else []),
    ]
    if report.latest:
        parts += [Text("Latest changes", "bold"), latest_table(report.latest)]
    parts += [Text("What to do next", "bold"), *(f"  {line}" for line in report.next)]
    return parts


def _saga_facts(report: SagaReport) -> list[Text | str]:
    saga, record = report.saga, report.record
    if saga is not None:
        title = Text(f"{saga.operation} ", "bold") + _outcome(saga)
        title += Text(f" after {span(saga.seconds(report.at))}", "")
    elif record is not None:
        title = Text(f"{record.operation} {record.state}, by its record")
    else:
        title = Text("No change is known")
    reasons = filter(None, [saga and saga.reason, record and record.reason])
    started = saga.started_at if saga else record.at if record else None
    stop = record.intervention if record else None
    facts = {
        "cart": "/".join(report.key) if report.key else None,
        "by": str(report.actor) if report.actor else None,
        "product": saga.product_id if saga else None,
        "order": report.order_id,
        "started": stamp(started) if started else None,
        "saga": record.saga_id if record else None,
        "run": saga.run_id if saga else record and record.run_id,
        "record": record.state if record else None,
        "reason": next(reasons, None),
        "ended by": f"{stop.by}: {stop.reason}" if stop else None,
        "details": brief(report.says),
        "page": saga.url if saga else None,
    }
    return [title, *(f"  {name:<9}{value}" for name, value in facts.items() if value)]


def _cart(report: SagaReport) -> str:
    if "mongodb" in report.unasked:
        return "unknown"
    cart = report.cart
    return f"{cart.id}, version {cart.version}, {_units(report.lines)}" if cart else "none"


def _units(units: dict[str, int] | None) -> str:
    if units is None:
        return "unknown"
    return ", ".join(f"{count} x {product}" for product, count in units.items()) or "nothing"
