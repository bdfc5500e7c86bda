"""`cart ops`: look after running sagas and relays, without a database shell.

Every command looks by queries or steers by signals; none terminates a run. The commands stand in
`saga_commands`, `relay_commands` and `intake_commands`, the exit codes in `exits`.
"""

import typer

from cli.ops import intake_commands, relay_commands, saga_commands

HELP = "See what sagas and relays do, and steer them: abort, retry, pause, skip."


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(no_args_is_help=True, help=HELP)
    saga_commands.register(group)
    relay_commands.register(group)
    intake_commands.register(group)
    app.add_typer(group, name="ops")
