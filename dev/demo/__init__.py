"""`cart demo`: a shopper's day against the running service.

`steps` has the steps in order: what people do (`shopper`), what other services tell (`others`) and
what the service does by itself (`upkeep`). `day` is one run, `walk` sends the requests and compares
the answers, `show` prints.
"""

import asyncio
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(demo)


def demo(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Walk a shopper's day against the running service.

    Exits 1 unless every answer is what it should be.
    """
    from cli.console import CliError, output  # noqa: PLC0415
    from dev.demo.day import run_day  # noqa: PLC0415
    from dev.demo.show import print_summary_json, show_beginning, show_end, show_step  # noqa: PLC0415
    from dev.demo.steps import STEPS  # noqa: PLC0415
    from settings import Environment, load_settings  # noqa: PLC0415

    settings = load_settings()
    if settings.environment is Environment.PRODUCTION:
        raise CliError("cart demo sets stock and fills carts: not with ENVIRONMENT=production")
    console = output()

    async def walk() -> bool:
        async with run_day(settings) as day:
            if not as_json:
                show_beginning(console, day)
            async for step in day.take(STEPS):
                if not as_json:
                    show_step(console, step)
            if as_json:
                print_summary_json(day)
            else:
                show_end(console, day)
            return day.went_well

    if not asyncio.run(walk()):
        raise typer.Exit(1)
