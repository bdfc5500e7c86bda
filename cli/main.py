"""`cart`: one module for each group of commands, imported only when it is asked for.

What is in here: the table of commands, `cart --version`, and how an error ends the process. Exit
codes: 0 all is well, 1 something is not, 2 the settings or the arguments cannot be used.
"""

import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple, NoReturn

import typer

from cli.console import CliError


class Command(NamedTuple):
    """Where a command, or a group of them, is; its `help` is what that module says of it."""

    module: str
    help: str


# In the order in which the help shows them. The texts stand here too, so that the help of all
# commands imports none of them.
COMMANDS = {
    "run": Command(
        "dev.run",
        "Start the local servers, inventory, worker, consumer and API; Ctrl-C stops them.",
    ),
    "stack": Command(
        "dev.run",
        "Start only the local servers: Temporal, MongoDB, Redis, Kafka; Ctrl-C stops them.",
    ),
    "setup": Command(
        "cli.setup", "Make the Kafka topics, the MongoDB indexes and the search attributes."
    ),
    "doctor": Command("cli.doctor", "Check every dependency; say what is wrong and what to do."),
    "demo": Command("dev.demo", "Walk a shopper's day against the running service."),
    "bench": Command("dev.bench.command", "Measure the ratios, on a local stack of its own."),
    "ops": Command(
        "cli.ops", "See what sagas and relays do, and steer them: abort, retry, pause, skip."
    ),
    "token": Command("cli.token", "Print a token for development, and nothing else."),
    "reconcile": Command(
        "cli.reconcile",
        "Compare carts, holds, pending effects and cache; a dry run unless told to repair.",
    ),
    "rebuild-cache": Command("cli.rebuild_cache", "Cache every cart anew, from MongoDB."),
    "replay-events": Command(
        "cli.replay_events", "Publish events again from the records, with the same ids."
    ),
    "dlq": Command("cli.dlq", "Look after events that could not be used."),
    "stock": Command("cli.stock", "Set and show the reference inventory's stock."),
}

DISTRIBUTION = "cart-service"
# The package of what only developers use, which the wheel does not have.
DEVELOPMENT = "dev"


def build_app(command: str | None = None) -> typer.Typer:
    """The application with the command that is wanted, or with the names and help of all."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_options)
    if command in COMMANDS:
        _module(command).register(app)
        return app
    for name, known in COMMANDS.items():
        app.command(name, help=known.help)(_only_named)
    return app


def _module(command: str) -> Any:
    """The command's module; raises `CliError` where the installation does not have it."""
    try:
        return import_module(COMMANDS[command].module)
    except ModuleNotFoundError as error:
        if error.name != DEVELOPMENT:
            raise
        raise CliError(
            f"cart {command} needs a checkout of the project: run make install in one, "
            f"then .venv/bin/cart {command}",
            exit_code=2,
        ) from None


def _only_named() -> None:
    raise NotImplementedError("the command's own module has it")


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"{DISTRIBUTION} {version(DISTRIBUTION)}")
        raise typer.Exit


def _options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """The cart service: run it, try it, look after it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits; an error that was foreseen is told without a traceback."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    # What libraries log about a connection that fails is said in our own words.
    logging.getLogger().addHandler(logging.NullHandler())
    # Asked for a completion, the shell's words stand in the environment instead.
    typed = (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()
    asked = words or typed[1:]
    command = next((word for word in asked if not word.startswith("-")), None)
    try:
        build_app(command)(args=words, prog_name="cart")
    except CliError as error:
        _end(str(error), error.exit_code)
    except Exception as error:
        from settings import SettingsError  # noqa: PLC0415 (half of what `cart --help` would cost)

        if not isinstance(error, SettingsError):
            raise
        _end(f"The settings cannot be used:\n{error}", 2)


def console() -> NoReturn:
    """`main` as a process of its own.

    Ends without the interpreter's finalisation: a thread of Temporal's client can crash in it, and
    the exit code would not be ours.
    """
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _end(message: str, exit_code: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(exit_code)


if __name__ == "__main__":
    console()
