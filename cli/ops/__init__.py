"""`cart ops`: operate running sagas and relays, without a database shell.

Commands read by queries and change things by signals; none terminates a run.
"""

import typer

from cli.ops import (
    ack_command,
    expired_commands,
    intake_commands,
    relay_commands,
    saga_commands,
)

ops = typer.Typer()
for module in (saga_commands, expired_commands, ack_command, relay_commands, intake_commands):
    ops.add_typer(module.commands)
