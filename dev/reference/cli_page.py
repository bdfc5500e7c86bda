"""docs/cli.md: the help of every `cart` command, as the command prints it on 100 columns."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command

from cli.main import COMMANDS, DEVELOPMENT, build_app

COLUMNS = 100
_NOTE = " Only in a checkout."
INTRODUCTION = """\
# The `cart` command

<!-- Written by `python -m dev.reference` from the commands. -->

`.venv/bin/cart` in a checkout, `cart` in the image. It reads the same [settings](settings.md) as
the service. Exit codes: 0 success, 1 a failure or a problem that was found, 2 settings or
arguments that cannot be used, 130 Ctrl-C; commands with more say so.
[operations.md](operations.md) shows them at work.
"""


def page(_: Path) -> str:
    parts = [INTRODUCTION, "| command | does |\n|---|---|"]
    rows = [
        f"| [`cart {name}`](#cart-{name}) | {text}{_NOTE * (name in DEVELOPMENT)} |"
        for name, text in COMMANDS.items()
    ]
    parts.append("\n".join(rows) + "\n")
    for name in COMMANDS:
        root = cast(TyperGroup, get_command(build_app(name)))
        with typer.Context(root, info_name="cart") as context:
            parts += _commands(root.commands[name], name, context, level=2)
    return "\n".join(parts)


def _commands(command: Any, name: str, parent: Any, *, level: int) -> Iterator[str]:
    """The section of a command, then of those below it."""
    with typer.Context(
        command, info_name=name, parent=parent, terminal_width=COLUMNS, max_content_width=COLUMNS
    ) as context:
        yield f"{'#' * level} `{context.command_path}`\n"
        text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        yield f"```text\n{text.strip()}\n```\n"
        for below in getattr(command, "commands", {}).values():
            if not below.hidden:
                yield from _commands(below, str(below.name), context, level=level + 1)
