"""`cart demo`: a scripted shopping session against the running service.

`script` has the steps in order, `actions` what happens without a request, and `session` sends the
requests and compares the answers with what is expected. The command and its output are in here.
"""

import asyncio
import json
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from cli.console import CliError, can_show, output, print_json, print_parts
from dev.demo.script import run_script
from dev.demo.session import REPLAYED, Answer, DemoSession, Step, open_session
from settings import Environment, load_settings

EXCERPT_CHARACTERS = 160
# A body with the field on the left is shortened to the fields on the right.
_LONG_BODIES = {
    "cartItems": ("quantity", "totalPrice", "version"),
    "services": ("status", "services"),
    "details": ("details",),
}


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
                print_parts(console, f"Demo against {settings.api_url}, store {session.store}", "")
            await session.run(run_script)
            if as_json:
                print_json(summary(session))
            else:
                show_end(console, session)
            return session.succeeded

    if not asyncio.run(run()):
        raise typer.Exit(1)


def show_step(console: Console, step: Step) -> None:
    """Prints a step: title, request, answers, problems, and the page of its saga."""
    good, bad = ("✓", "✗") if can_show(console, "✓✗") else ("ok", "NO")
    mark = Text(bad, "bold red") if step.problems else Text(good, "green")
    print_parts(
        console,
        mark + Text(f" {step.title}"),
        Text(f"    {step.request}", "dim"),
        *(f"    {answer.status} {excerpt(answer)}" for answer in step.answers),
        *(Text(f"    {problem}", "red") for problem in step.problems),
        *(f"    saga: {saga}" for saga in step.sagas),
    )


def show_end(console: Console, demo: DemoSession) -> None:
    """Prints how many steps passed, and why the demo stopped if it did."""
    passed = sum(not step.problems for step in demo.steps)
    stopped = [Text(f"stopped: {demo.stopped}", "bold red")] if demo.stopped else []
    style = "green" if demo.succeeded else "bold red"
    print_parts(console, "", *stopped, Text(f"{passed} of {len(demo.steps)} steps passed", style))


def summary(demo: DemoSession) -> dict[str, Any]:
    """The whole run, as JSON values."""
    return {
        "ok": demo.succeeded,
        "api": demo.settings.api_url,
        "storeId": demo.store,
        "stopped": demo.stopped,
        "steps": [
            {
                "title": step.title,
                "ok": not step.problems,
                "request": step.request,
                "answers": [
                    {"status": answer.status, "body": answer.body, "replayed": answer.replayed}
                    for answer in step.answers
                ],
                "problems": step.problems,
                "sagas": step.sagas,
            }
            for step in demo.steps
        ],
    }


def excerpt(answer: Answer) -> str:
    """An answer in one short line."""
    body = answer.body
    for mark, fields in _LONG_BODIES.items():
        if isinstance(body, dict) and mark in body:
            body = {name: body[name] for name in fields if name in body}
    text = "" if body is None else json.dumps(body, ensure_ascii=False, separators=(", ", ": "))
    if len(text) > EXCERPT_CHARACTERS:
        text = text[: EXCERPT_CHARACTERS - 3] + "..."
    return f"{text} ({REPLAYED}: true)" if answer.replayed else text
