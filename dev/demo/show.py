"""How the demo looks: on a terminal, and as JSON."""

import json
from typing import Any

from rich.console import Console
from rich.text import Text

from cli.console import can_show, print_json
from dev.demo.day import Day
from dev.demo.walk import REPLAYED, Answer, Step

EXCERPT_CHARACTERS = 160
# A body with this field is shown by these.
_LONG_BODIES = {
    "cartItems": ("quantity", "totalPrice", "version"),
    "services": ("status", "services"),
    "details": ("details",),
}


def show_beginning(console: Console, day: Day) -> None:
    """Where it goes."""
    console.print(f"A shopper's day at {day.api}, in store {day.store}\n", soft_wrap=True)


def show_step(console: Console, step: Step) -> None:
    """The step's title, its request, the answers, what is wrong, and where its saga can be seen."""
    good, bad = ("✓", "✗") if can_show(console, "✓✗") else ("ok", "NO")
    mark = Text(good, "green") if step.went_well else Text(bad, "bold red")
    console.print(mark, step.title, soft_wrap=True)
    console.print(Text(f"    {step.request}", "dim"), soft_wrap=True)
    for answer in step.answers:
        console.print(f"    {answer.status} {excerpt(answer)}", soft_wrap=True)
    for problem in step.problems:
        console.print(Text(f"    {problem}", "red"), soft_wrap=True)
    for saga in step.sagas:
        console.print(f"    saga: {saga}", soft_wrap=True)


def show_end(console: Console, day: Day) -> None:
    """How many steps went well, and why it stopped when it did."""
    well = sum(step.went_well for step in day.taken)
    console.print()
    if day.stopped:
        console.print(Text(f"stopped: {day.stopped}", "bold red"), soft_wrap=True)
    style = "green" if day.went_well else "bold red"
    console.print(Text(f"{well} of {len(day.taken)} steps are as they should be", style))


def print_summary_json(day: Day) -> None:
    """The whole day as one document."""
    print_json(
        {
            "ok": day.went_well,
            "api": day.api,
            "storeId": day.store,
            "stopped": day.stopped,
            "steps": [_step_json(step) for step in day.taken],
        }
    )


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "title": step.title,
        "ok": step.went_well,
        "request": step.request,
        "answers": [
            {"status": answer.status, "body": answer.body, "replayed": answer.replayed}
            for answer in step.answers
        ],
        "problems": step.problems,
        "sagas": step.sagas,
    }


def excerpt(answer: Answer) -> str:
    """What matters of an answer, in one short line."""
    body = answer.body
    for mark, fields in _LONG_BODIES.items():
        if isinstance(body, dict) and mark in body:
            body = {name: body[name] for name in fields if name in body}
    text = "" if body is None else json.dumps(body, ensure_ascii=False, separators=(", ", ": "))
    if len(text) > EXCERPT_CHARACTERS:
        text = text[: EXCERPT_CHARACTERS - 3] + "..."
    return f"{text} ({REPLAYED}: true)" if answer.replayed else text
