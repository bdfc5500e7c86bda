"""`cart bench`: what a durable cart operation costs, as ratios measured in one run."""

import signal
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import Progress

from cli.console import CliError, output, print_json
from dev.bench import report, suite
from dev.bench.client import UnexpectedAnswer
from dev.bench.rig import rig
from dev.stack.process import StackError


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
        raise CliError(str(error)) from None
    if as_json:
        print_json(report.as_json(figures))
        return
    console = output()
    console.print(report.ratio_table(figures))
    console.print(report.detail_table(figures))


async def _run(size: suite.Size, *, production: bool) -> suite.Figures:
    """Measures, with progress on standard error."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting the servers", total=size.ticks)
        async with rig(lambda _: None, production=production) as running:
            progress.update(task, description="measuring")
            figures = await suite.measure(running, size, lambda: progress.advance(task))
            progress.update(task, description="stopping the servers")
    return figures
