"""`cart ops`: operate running sagas and relays, without a database shell.

Commands read by queries and change things by signals; none terminates a run. They are in
`saga_commands`, `relay_commands` and `intake_commands`.
"""

import typer

from cli.ops import intake_commands, relay_commands, saga_commands


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(
        no_args_is_help=True,
        help="Inspect and steer sagas and relays: list, abort, retry, pause, skip.",
    )
    saga_commands.register(group)
    relay_commands.register(group)
    intake_commands.register(group)
    app.add_typer(group, name="ops")
