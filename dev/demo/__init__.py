"""`cart demo`: a scripted shopping session against the running service.

`script` has the steps in order, `actions` what happens without a request, `session` sends the
requests, `steps` compares responses with what is expected, and `display` prints.
"""

import asyncio
from functools import partial
from typing import Annotated

import typer

from cli.console import CliError, output, print_json
from dev.demo.display import show_end, show_step, summary
from dev.demo.script import run_script
from dev.demo.session import open_session
from settings import Environment, load_settings


def demo(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Walk a shopper's day against the running service.

    Exits 1 unless every answer is what it should be.
    """
    settings = load_settings()
    if settings.environment is Environment.PRODUCTION:
        raise CliError("cart demo sets stock and fills carts: not with ENVIRONMENT=production")
    console = output()

    async def run() -> bool:
        async with open_session(settings) as session:
            if not as_json:
                session.on_step = partial(show_step, console)
                console.print(f"Demo against {settings.api_url}, store {session.store}\n")
            await session.run(run_script)
            if as_json:
                print_json(summary(session))
            else:
                show_end(console, session)
            return session.succeeded

    if not asyncio.run(run()):
        raise typer.Exit(1)
