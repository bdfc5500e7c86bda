"""The `cart` command: the table of its commands, `--version`, and how an error ends the process.

A command's module is imported only when that command is used, so `cart --help` stays fast. Exit
codes: 0 success, 1 a failure or a problem that was found, 2 settings or arguments that cannot be
used, 130 Ctrl-C.
"""

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from keyword import iskeyword
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from api.version import VERSION
from cli.console import CliError, say, warn
from cli.streams import arguments_of, prepare

INTERRUPTED = 130  # 128 + SIGINT, as shells count

# The help of each command, in the order of `cart --help`. The module of a command has a function
# or a `Typer` with the command's name.
COMMANDS = {
    "run": "Start the local servers, inventory, worker, consumer and API; Ctrl-C stops them.",
    "stack": "Start only the local servers: Temporal, MongoDB, Redis, Kafka; Ctrl-C stops them.",
    "setup": "Create the Kafka topics, MongoDB indexes and search attributes.",
    "doctor": "Check every dependency; show problems and fixes.",
    "demo": "Walk a shopper's day against the running service.",
    "bench": "Measure the ratios, on a local stack of its own.",
    "ops": "Inspect and steer sagas and relays: list, abort, retry, pause, skip.",
    "token": "Print a token for development.",
    "reconcile": "Compare carts with holds, pending effects and cache; --fix repairs.",
    "rebuild-cache": "Fill the cache with every cart in MongoDB.",
    "replay-events": "Publish recorded events again, with the same ids.",
    "dlq": "List, replay or drop events that could not be processed.",
    "privacy": "Export or erase all data of a user.",
    "import": "Bring the carts of the original Node.js service here.",
    "compare": "Compare this service's answers with another one's.",
    "stores": "Set, show and list what stores set for themselves.",
    "stock": "Set and show stock in the reference inventory.",
}
# The modules of commands that only developers use; the wheel does not have them.
DEVELOPMENT = {
    "run": "dev.run",
    "stack": "dev.run",
    "demo": "dev.demo",
    "bench": "dev.bench.command",
}


def build_app(command: str | None = None) -> typer.Typer:
    """The application with one command, or with the names and help of all."""
    # Without Rich's markup: the texts of errors have words of the user.
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(_options)
    if command not in COMMANDS:
        for name, text in COMMANDS.items():
            app.command(name, help=text)(lambda: None)
        return app
    loaded = _load(command)
    if isinstance(loaded, typer.Typer):
        app.add_typer(loaded, name=command, help=COMMANDS[command], no_args_is_help=True)
    else:
        app.command(command)(loaded)
    return app


def _runnable(command: str | None) -> Any:
    """The application; a list of commands has the first sentences of each help, not only what fits
    a line."""
    runnable = get_command(build_app(command))
    groups = [runnable]
    for group in groups:
        for one in getattr(group, "commands", {}).values():
            one.short_help = " ".join((one.help or "").split("\n\n")[0].split())
            groups.append(one)
    return runnable


def module_of(command: str) -> str:
    """The name of a command's module."""
    return DEVELOPMENT.get(command, f"cli.{_identifier(command)}")


def _identifier(command: str) -> str:
    """A command's name in Python: a keyword gets an underscore (PEP 8)."""
    name = command.replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def _load(command: str) -> Any:
    """The function or the group; raises `CliError` where the installation does not have it."""
    try:
        module = import_module(module_of(command))
    except ModuleNotFoundError as error:
        if error.name != "dev":
            raise
        raise CliError(
            f"cart {command} needs a checkout of the project: run make install in one, "
            f"then .venv/bin/cart {command}",
            exit_code=2,
        ) from None
    return getattr(module, _identifier(command))


def _print_version(wanted: bool) -> None:
    if wanted:
        say(f"cart-service {VERSION}")
        raise typer.Exit


def _options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Run, try and operate the cart service."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command and exits. Expected errors are printed without a traceback."""
    prepare()
    # The commands report failed connections themselves; the libraries' logs would repeat them.
    logging.getLogger().addHandler(logging.NullHandler())
    # For a completion, the words on the command line are in the environment instead.
    typed = (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()
    try:
        words = arguments_of(sys.argv[1:] if arguments is None else arguments)
        command = next((word for word in words or typed[1:] if not word.startswith("-")), None)
        _runnable(command)(args=words, prog_name="cart")
    except CliError as error:
        warn(*error.lines)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        # Imported by then: only a command reads settings. `cart --help` does without it.
        if not isinstance(error, import_module("settings").SettingsError):
            raise
        warn("The settings cannot be used:", *str(error).split("\n"))
        sys.exit(2)


def console() -> NoReturn:
    """`main` as a process of its own.

    Skips the interpreter's finalization, in which a thread of Temporal's client can crash and
    replace the exit code.
    """
    code: object = 0
    try:
        main()
        sys.stdout.flush()
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:
        code = INTERRUPTED
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, CliError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    console()
