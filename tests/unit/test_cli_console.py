"""What every command prints: whole ids at every width, and one line a record in a pipe."""

import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from pymongo.errors import ServerSelectionTimeoutError
from rich.cells import cell_len
from rich.text import Text

from cli.console import print_json, say, show
from cli.options import operator
from cli.tables import Column, Table
from models.errors import DependencyUnavailable
from ops.words import brief, reason

RUN_ID = "6f2d8a3e-0000-4000-8000-000000000001"
TOPOLOGY = (
    "127.0.0.1:1: [Errno 111] Connection refused (configured timeouts: connectTimeoutMS: 2000.0ms)"
    ", Timeout: 2.0s, Topology Description: <TopologyDescription id: 1, servers: [<...>]>"
)


WIDTHS = (40, 60, 80, 120, 200)
LONG = "auth0|" + "ü日本" * 83
URL = "http://127.0.0.1:8233/namespaces/default/workflows/cart%2Fstore-1%2Fuser-1/history"


def table(user: str = "user-1") -> Table:
    return Table(
        ["it waits for something " * 3],
        ("started", lambda _: "2026-01-27 10:30:00Z"),
        ("store", lambda _: "shop-10"),
        ("user", lambda _: user),
        ("order", lambda _: None),
        (Column("run", spare=1), lambda _: RUN_ID),
        (Column("note", prose=True, spare=2), lambda note: note),
    )


def shown(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    width: int,
    *parts: Table | Text | str,
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    show(None, *parts)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_has_every_value_whole_at_every_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    lines = shown(monkeypatch, capsys, width, table())
    assert max(map(cell_len, lines)) <= width
    for whole in ("2026-01-27 10:30:00Z", "shop-10", "user-1", RUN_ID):
        assert any(whole in line for line in lines), whole
    assert " ".join(lines).count("something") == 3
    assert "order" not in " ".join(lines), "an empty column is left out"


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_without_rows_has_its_titles(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    empty = Table([], ("store", str), (Column("note", prose=True), str))
    assert shown(monkeypatch, capsys, width, empty)[0].split() == ["store", "note"]


@pytest.mark.parametrize("width", WIDTHS)
def test_an_id_longer_than_a_line_is_folded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    lines = shown(monkeypatch, capsys, width, table(LONG))
    assert max(map(cell_len, lines)) <= width
    assert LONG in "".join(lines)
    assert any(RUN_ID in line for line in lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_lines_are_folded_at_words_and_commands_and_urls_stay_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    command = "`cart ops ack RUN --reason WHY`"
    lines = shown(monkeypatch, capsys, width, f"  Once you have looked: {command} at {URL} ends it")
    assert any(command in line for line in lines)
    assert any(URL in line for line in lines)
    assert [line for line in lines if len(line) > width and URL not in line] == []


def test_a_pipe_gets_one_line_for_each_record_with_the_same_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    show(None, table(), table(LONG), "word " * 100)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    for heading, row, user in ((lines[0], lines[1], "user-1"), (lines[2], lines[3], LONG)):
        assert heading.split() == ["started", "store", "user", "order", "run", "note"]
        assert row.split()[2:6] == ["shop-10", user, "-", RUN_ID]
    assert "\x1b" not in "".join(lines)


def test_a_pipe_is_colored_only_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def is_colored(**env: str) -> bool:
        with monkeypatch.context() as patch:
            for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "NO_COLOR", "CLICOLOR", "TERM"):
                patch.delenv(name, raising=False)
            for name, value in env.items():
                patch.setenv(name, value)
            show(None, Text("line", "bold red"), clear=True)
        printed = capsys.readouterr().out
        assert "\x1b[2J" not in printed
        return "\x1b[" in printed

    assert not is_colored()
    assert is_colored(FORCE_COLOR="1")
    assert is_colored(CLICOLOR_FORCE="1")
    assert not is_colored(FORCE_COLOR="0")
    assert not is_colored(FORCE_COLOR="1", NO_COLOR="1")
    assert not is_colored(FORCE_COLOR="1", TERM="dumb")


def test_markup_and_emoji_codes_of_data_are_shown_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = "[red]it[/] [link=http://x]y[/link] :smile: [bold"
    say(data)
    show(None, Table([data], ("name", str)))
    assert capsys.readouterr().out.splitlines()[::2] == [data, data]


def test_json_keeps_what_it_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    value = "\x1b\x9b\n\u202e\u200b\U000e0041\ud800ü✓"
    print_json({"name": value})
    printed = capsys.readouterr().out
    assert printed.startswith('{\n  "name": "\\u001b\\u009b\\n\\u202e\\u200b')
    assert printed.endswith('ü✓"\n}\n')
    assert json.loads(printed) == {"name": value}


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
