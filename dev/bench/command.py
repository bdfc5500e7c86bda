"""`cart bench`: what a durable cart operation costs, as ratios measured in one run.

Has the targets of the ratios, and the output: JSON and tables.
"""

import operator
import signal
from collections.abc import Callable
from operator import itemgetter
from typing import Annotated, Any, NamedTuple

import typer
import uvloop
from rich.progress import Progress

from cli.console import CliError, output, print_json, show
from cli.tables import Column, Table
from dev.bench import suite
from dev.bench.client import UnexpectedAnswer
from dev.bench.costs import Cost
from dev.bench.rig import rig
from dev.stack.process import StackError

_COMPARE = {"<=": operator.le, ">=": operator.ge, "=": operator.eq}


class Target(NamedTuple):
    """The bound of a ratio."""

    sign: str
    bound: float
    means: str

    def met(self, value: float) -> bool:
        return bool(_COMPARE[self.sign](value, self.bound))


TARGETS = {
    "add_over_noop_p50": Target("<=", 1.35, "answer to an add / an empty workflow, over HTTP"),
    "saga_over_noop_p50": Target("<=", 1.7, "result of a saga / of an empty workflow"),
    "throughput_over_noop": Target(">=", 0.7, "adds / empty workflows in a second, 32 at once"),
    "back_to_back_over_add": Target("<=", 1.5, "two adds in a row to one cart / to two carts"),
    "answer_over_direct": Target("<=", 3.0, "answer to an add / the same steps without Temporal"),
    "own_cpu_over_direct": Target(
        "<=", 2.5, "CPU time of API and worker for an add / of a process without Temporal"
    ),
    "transitions_per_operation": Target("=", 3.0, "state transitions of a saga on the server"),
    "transitions_per_update": Target("=", 3.0, "the same of an update"),
    "transitions_per_remove": Target("=", 3.0, "the same of a removal"),
    "update_over_add": Target("<=", 1.15, "answer to one unit more of a line / to an add"),
    "remove_over_add": Target("<=", 1.1, "answer to the removal of a line / to an add"),
    "admin_page_100000_over_100": Target("<=", 5.0, "page of 100 carts out of 100,000 / of 100"),
    "cart_100_over_1": Target("<=", 1.3, "add to a cart of 100 lines / of one"),
    "read_over_empty": Target("<=", 1.7, "read of a cart / an empty route, both with a token"),
    "add_kafka_down_over_healthy": Target("<=", 1.4, "add while Kafka is down / is there"),
    "add_redis_down_over_healthy": Target("<=", 1.4, "add while Redis is down / is there"),
}


def bench(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Less than a minute; noisier.")] = False,
    production: Annotated[
        bool,
        typer.Option("--production", help="On Temporal with PostgreSQL, and on Apache Kafka."),
    ] = False,
) -> None:
    """Measure the ratios, on a local stack of its own."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops the servers, as Ctrl-C does
    try:
        figures = uvloop.run(_run(suite.QUICK if quick else suite.FULL, production=production))
    except (StackError, UnexpectedAnswer) as error:
        raise CliError(*str(error).split("\n")) from None
    if as_json:
        print_json(as_json_document(figures))
        return
    show(
        *(None, "Ratios", ratio_table(figures)),
        *("", "Commands and bytes written of an operation", cost_table(figures)),
        *("", "Times on this machine", detail_table(figures)),
    )


async def _run(size: suite.Size, *, production: bool) -> suite.Figures:
    """Measures, with progress on standard error."""
    with Progress(console=output(errors=True), transient=True) as progress:
        task = progress.add_task("starting the servers", total=size.ticks)
        async with rig(production=production) as running:
            progress.update(task, description="measuring")
            figures = await suite.measure(running, size, lambda: progress.advance(task))
            progress.update(task, description="stopping the servers")
    return figures


def as_json_document(figures: suite.Figures) -> dict[str, Any]:
    """The ratios by name, what operations cost, and the details; times are in milliseconds."""
    spread = {name: list(bounds) for name, bounds in figures.spread.items()}
    ratios = {name: float(figures.ratios[name]) for name in TARGETS}
    costs: dict[str, Any] = {}
    for name, cost in figures.costs.items():
        costs[f"commands_per_{name}"] = cost.commands
        costs[f"bytes_per_{name}"] = cost.bytes_written
    return {**ratios, **costs, "details": {**figures.details, "spread": spread}}


def ratio_table(figures: suite.Figures) -> Table:
    """Each ratio with its target."""

    def spread(name: str) -> str:
        value = figures.ratios[name]
        low, high = figures.spread.get(name, (value, value))
        return f"{low:.2f}-{high:.2f}"

    return Table(
        TARGETS,
        ("figure", str),
        (Column("ratio", right=True), lambda name: f"{figures.ratios[name]:.2f}"),
        (Column("spread", right=True), spread),
        (
            Column("target", right=True),
            lambda name: f"{TARGETS[name].sign} {TARGETS[name].bound:g}",
        ),
        ("", lambda name: "met" if TARGETS[name].met(figures.ratios[name]) else "missed"),
        (Column("what it is", prose=True, spare=1), lambda name: TARGETS[name].means),
    )


def cost_table(figures: suite.Figures) -> Table:
    """What operations ask of MongoDB and Redis; bytes are those of MongoDB's journal."""

    def number(of: Callable[[Cost], float]) -> Callable[[str], str]:
        return lambda name: f"{of(figures.costs[name]):.1f}"

    return Table(
        figures.costs,
        ("operation", str),
        (Column("MongoDB", right=True), number(lambda cost: cost.commands["mongodb"])),
        (Column("Redis", right=True), number(lambda cost: cost.commands["redis"])),
        (
            Column("KiB in MongoDB", right=True),
            number(lambda cost: cost.bytes_written["mongodb"] / 1024),
        ),
        (
            Column("KiB in Redis", right=True),
            number(lambda cost: cost.bytes_written["redis"] / 1024),
        ),
    )


def detail_table(figures: suite.Figures) -> Table:
    """The times behind the ratios; they depend on the machine."""
    rows = [
        (name, f"{value['p50']:.2f}", f"{value['p99']:.2f}", value["n"])
        for name, value in figures.details.items()
        if isinstance(value, dict) and "p50" in value
    ]
    rows += [
        (f"{name}, {at_once} at once", f"{rate:.0f}/s", "", "")
        for name, rates in figures.details["throughput"].items()
        for at_once, rate in rates.items()
    ]
    titles = (Column("what"), *(Column(title, right=True) for title in ("p50 ms", "p99 ms", "n")))
    return Table(rows, *((title, itemgetter(at)) for at, title in enumerate(titles)))
