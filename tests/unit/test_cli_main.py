"""The command line as a whole: help, version, and how errors end it."""

import subprocess
import sys

import pytest
import typer
from typer.main import get_command

from cli.main import COMMANDS, build_app, module_of
from tests.unit.cli_standin import clear_environment, run


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "--help")

    assert ended.code == 0
    for name in COMMANDS:
        assert f" {name} " in ended.out


@pytest.mark.parametrize("words", [(), ("ops",), ("dlq",), *((name,) for name in COMMANDS)])
def test_a_help_fits_80_columns_and_cuts_nothing(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run(capsys, *words, "--help").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line.endswith("...") for line in lines[1:])
    if words:
        assert COMMANDS[words[0]].startswith(lines[2].strip())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_is_that_of_its_module(name: str) -> None:
    group = get_command(build_app(name))
    context = typer.Context(group)
    command = group.get_command(context, name)  # type: ignore[attr-defined]

    assert command is not None
    assert (command.help or "").split("\n\n")[0].replace("\n", " ") == COMMANDS[name]


def test_the_help_imports_no_command() -> None:
    heavy = ["settings", "httpx", "temporalio", "pymongo", "fastapi"]
    heavy += sorted({*map(module_of, COMMANDS)})
    code = (
        "import sys\nfrom cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print('loaded', [name for name in {heavy!r} if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("loaded []\n")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "--version")

    assert ended.code == 0
    assert ended.out.startswith("cart-service ")


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "bogus")

    assert ended.code == 2
    assert "bogus" in ended.err


@pytest.mark.parametrize("name", ["run", "stack", "demo", "bench"])
def test_a_command_for_developers_says_so_where_it_is_not_installed(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in [module for module in sys.modules if module.split(".")[0] == "dev"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [WithoutDev, *sys.meta_path])

    ended = run(capsys, name)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"cart {name} needs a checkout of the project")
    assert len(ended.err.splitlines()) == 1


class WithoutDev:
    """Finds no package `dev`, as in an installation of the wheel."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "dev":
            raise ModuleNotFoundError("No module named 'dev'", name="dev")


def test_invalid_settings_are_listed_line_by_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(monkeypatch, PORT="abc", REDIS_PORT="0")

    ended = run(capsys, "stock", "show", "store-1", "headphones")

    assert ended.code == 2
    assert ended.out == ""
    first, *lines = ended.err.splitlines()
    assert first == "The settings cannot be used:"
    assert sorted(line.split(":")[0] for line in lines) == ["PORT='abc'", "REDIS_PORT='0'"]
