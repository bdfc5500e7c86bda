"""What every command prints: whole ids, no control characters, and no failure of the terminal."""

import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise

import pytest
from pymongo.errors import ServerSelectionTimeoutError
from rich.text import Text

from cli.console import print_json, reason, say, show
from cli.options import operator
from cli.tables import Column, Table
from cli.texts import brief
from models.errors import DependencyUnavailable

RUN_ID = "6f2d8a3e-0000-4000-8000-000000000001"
TOPOLOGY = (
    "127.0.0.1:1: [Errno 111] Connection refused (configured timeouts: connectTimeoutMS: 2000.0ms)"
    ", Timeout: 2.0s, Topology Description: <TopologyDescription id: 1, servers: [<...>]>"
)


def table(user: str = "user-1") -> Table:
    return Table(
        ["it waits for something " * 3],
        ("store", lambda _: "shop-10"),
        ("user", lambda _: user),
        (Column("started", spare=1), lambda _: "2026-01-27 10:30:00"),
        (Column("note", prose=True), lambda note: note),
        ("run", lambda _: RUN_ID),
    )


def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, of: Table
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    show(None, of)
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= width
    return lines


def test_a_wide_terminal_has_every_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heading, _, row = shown(monkeypatch, capsys, 200, table())
    assert heading.split() == ["store", "user", "started", "note", "run"]
    assert row.split()[-1] == RUN_ID


@pytest.mark.parametrize("width", range(85, 120))
def test_a_narrow_one_has_every_id_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    heading, _, row, *_, last = shown(monkeypatch, capsys, width, table())
    for whole in ("shop-10", "user-1", RUN_ID):
        assert whole in row.split()
    left_out = "started" not in heading
    assert ("(not shown at this width: started)" in last) is left_out


def test_ids_that_do_not_fit_side_by_side_are_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    user = "a-user-with-an-id-of-almost-64-characters-which-is-the-most"
    words = " ".join(shown(monkeypatch, capsys, 80, table(user))).split()
    for whole in ("shop-10", user, "2026-01-27", RUN_ID):
        assert whole in words


@pytest.mark.parametrize("escape", ["\x1b[31m", "\x1b]0;title\x07", "\x9b31m", "\x7f", "\u202e"])
def test_control_characters_of_data_are_never_obeyed(
    capsys: pytest.CaptureFixture[str], escape: str
) -> None:
    say(f"name {escape}")
    texts: list[Text | str] = [escape, Text(escape, "bold")]
    show(None, Table(texts, ("name", lambda text: text)), *texts)
    print_json({"name": escape})
    printed = capsys.readouterr().out
    assert not {*escape} & {*"\x1b\x07\x9b\x7f\u202e"} & {*printed}
    assert escape.encode("unicode_escape").decode() in printed


def test_json_keeps_what_it_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "\x1b\x9bü✓"})
    assert capsys.readouterr().out == '{\n  "name": "\\u001b\\u009bü✓"\n}\n'


def process(code: str, *, reading: bool = True, **env: str) -> tuple[int, bytes, bytes]:
    """Exit code, output and errors of a process; without `reading` its output is a closed pipe."""
    begin = "import sys\nfrom cli import console, main\nsys.stdin.readline()\n"
    words = [sys.executable, "-c", begin + code]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    ) as running:
        if running.stdout and not reading:
            running.stdout.close()
        out, errors = running.communicate(b"\n")
        return running.returncode, out, errors


TABULATING = "console.show(None, console.Table(['line'], ('name', str)))"


@pytest.mark.parametrize(
    "printing",
    [
        "for _ in range(9): console.say('line')",
        f"for _ in range(9): {TABULATING}",
        "for _ in range(9): console.print_json({'name': 'line'})",
        "main.main(['--version'])",
    ],
)
def test_a_reader_that_leaves_ends_the_command_with_0(printing: str) -> None:
    assert process(f"{printing}\nsys.exit(1)", reading=False) == (0, b"", b"")


def test_a_terminal_without_utf_8_gets_all_that_it_can_show() -> None:
    code = f"console.prepare()\nconsole.say('à ✓')\n{TABULATING}\nconsole.print_json('✓')"
    ended, out, errors = process(code, PYTHONIOENCODING="latin-1")
    assert (ended, errors) == (0, b"")
    assert out.startswith("à ?\nname\n----\nline".encode("latin-1"))
    assert out.endswith(b'"\\u2713"\n')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"mongodb is unavailable: {TOPOLOGY}", "Connection refused"),
        (
            'kafka is unavailable: KafkaConnectionError("Unable to bootstrap from '
            "[('127.0.0.1', 9092, <AddressFamily.AF_INET: 2>)]\"); 1 records left",
            "kafka is unavailable: no broker can be reached; 1 records left",
        ),
        ("one\n  two", "one two"),
    ],
)
def test_the_dump_of_a_driver_becomes_one_line(text: str, expected: str) -> None:
    short = brief(text)
    assert short.endswith(expected)
    assert "\n" not in short


def test_a_text_that_is_cut_says_so() -> None:
    assert brief("word " * 100).endswith(" ...")


def chained(errors: Sequence[Exception]) -> Exception:
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            chained([RuntimeError("no"), ServerSelectionTimeoutError(TOPOLOGY)]),
            "connection refused",
        ),
        (chained([RuntimeError("no"), TimeoutError()]), "no answer in time"),
        (DependencyUnavailable("kafka", "broker says no"), "broker says no"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_why_a_call_failed(error: Exception, expected: str) -> None:
    assert reason(error) == expected


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def getuser() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", getuser)
    monkeypatch.setattr("os.getuid", lambda: 12345)
    assert operator(None).startswith("uid-12345@")
    assert operator("alice") == "alice"
