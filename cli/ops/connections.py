"""Runs a command with connections to Temporal and MongoDB, and says at its end which servers could
not be asked."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any

import typer
from temporalio.service import RPCError

from cli.console import CliError, ExitCode, warn
from models.errors import DependencyUnavailable
from ops.connections import Connections, away, open_connections
from ops.errors import NotFoundError, NotStoppedError, OpsError, ServerAwayError, UnusableError
from ops.words import reason
from settings import load_settings

WATCH_SECONDS = 2.0
_EXIT_CODES: dict[type[OpsError], ExitCode] = {
    UnusableError: ExitCode.USAGE,
    NotFoundError: ExitCode.NOT_FOUND,
    NotStoppedError: ExitCode.OTHERWISE,
    ServerAwayError: ExitCode.PROBLEM,
}

Command = Callable[..., Coroutine[Any, Any, ExitCode | None]]


def connected(command: Command) -> Callable[..., None]:
    """Gives a command connections as its first argument, and repeats it with `--watch`."""
    signature = inspect.signature(command)
    _, *options = signature.parameters.values()

    @wraps(command)
    def run(**values: Any) -> None:
        with_connections(
            partial(command, **values),
            watch=values.get("watch", False),
            as_json=values.get("as_json", False),
        )

    run.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
    return run


def with_connections(
    work: Callable[[Connections], Coroutine[Any, Any, ExitCode | None]],
    *,
    watch: bool = False,
    as_json: bool = False,
) -> None:
    """Ends the command with the exit code of the work (None: success), which `watch` repeats until
    Ctrl-C. Says which servers could not be asked, unless the JSON does."""
    settings = load_settings()

    async def run() -> ExitCode | None:
        async with open_connections(settings) as connections:
            while True:
                code = await work(connections)
                if connections.unasked:
                    code = ExitCode.INCOMPLETE
                if connections.incomplete and not as_json:
                    warn(connections.incomplete)
                if not watch:
                    return code
                await asyncio.sleep(WATCH_SECONDS)
                connections.unasked.clear()

    try:
        code = asyncio.run(run())
    except OpsError as error:
        raise CliError(str(error), exit_code=_EXIT_CODES[type(error)]) from None
    except DependencyUnavailable as error:
        raise CliError(str(away(error.dependency, reason(error)))) from None
    except RPCError as error:
        raise CliError(f"Temporal: {reason(error)}: see `cart doctor`") from None
    raise typer.Exit(code or ExitCode.OK)
