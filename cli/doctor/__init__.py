"""`cart doctor`: every dependency, what is wrong with it and what to do.

The checks stand in the other modules here: `settings_check`, `services` (the API, the inventory),
`temporal`, `mongodb`, `redis` and `kafka`. They run at the same time, each for a bounded time.
"""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cli.doctor.findings import Finding

_STYLES = {"ok": "green", "warn": "yellow", "failed": "bold red"}


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check every dependency; say what is wrong and what to do.

    Exits 1 if anything fails; warnings alone exit 0.
    """
    from cli.console import print_json  # noqa: PLC0415
    from cli.doctor.checks import examine  # noqa: PLC0415
    from cli.doctor.findings import State  # noqa: PLC0415
    from settings import load_settings  # noqa: PLC0415

    found = examine(load_settings())
    findings = found.findings
    healthy = all(finding.state is not State.FAILED for finding in findings)
    if as_json:
        print_json({"ok": healthy, "checks": [finding.as_dict() for finding in findings]})
    else:
        _show(findings)
    if found.hanging:  # the interpreter would wait for it
        sys.stdout.flush()
        os._exit(0 if healthy else 1)
    raise typer.Exit(0 if healthy else 1)


def _show(findings: "list[Finding]") -> None:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from cli.console import output  # noqa: PLC0415

    console = output()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("part", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("what", ratio=3, overflow="fold")
    table.add_column("what to do", ratio=2, overflow="fold")
    for finding in findings:
        style = _STYLES[finding.state]
        table.add_row(
            finding.part, Text(finding.state, style), Text(finding.what), Text(finding.advice)
        )
    console.print(table)
    counts = [(state, sum(item.state == state for item in findings)) for state in _STYLES]
    console.print(", ".join(f"{count} {state}" for state, count in counts))
