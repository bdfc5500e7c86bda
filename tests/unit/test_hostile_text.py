"""Text of strangers on a terminal and in logs.

Anyone who can write to a topic, choose a title or name a workflow can put terminal sequences into
it. They set titles, clear the screen, hide or forge lines, or answer into the shell (CWE-150).
Marks that change the direction of text, and characters without width, make one id look like
another (Unicode TR36). No output has any of them as they are; JSON has them as escapes of JSON.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unicodedata import category

import pytest
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from adapters.kafka.dead_letters import Letter
from cli import dlq
from cli.console import output, print_json, say, say_whole, show, warn
from cli.doctor import _show
from cli.doctor.results import CheckResult, Status
from cli.main import main
from cli.ops.views import (
    effect_table,
    end_table,
    latest_table,
    line_table,
    relay_table,
    saga_table,
    step_table,
    stuck_table,
)
from cli.tables import Table
from models.effects import EffectKind
from models.outcomes import Outcome
from ops.changes import LatestChange, LineOfChange
from ops.history import HistoryEntry
from ops.relays import PendingEffect, RelayId, RelayState
from ops.sagas import SagaEnd
from ops.stuck import StuckItem
from telemetry.printable import printable, printable_json
from tests.unit.test_cli_ops import saga

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
HOSTILE = {
    "title": "\x1b]0;PWNED\x07",
    "clear": "\x1b[2J\x1b[1;1H",
    "c1": "\x9b31m\x9d0;x\x9c",
    "overwrite": "bad\rgood\b\b",
    "newline": "one\ntwo\x0b\x0c\x85\u2028\u2029three",
    "nul": "\x00\x7f",
    "bidi": "\u202eabc\u202c\u2066\u2069\u200e\u200f\u061c",
    "no width": "a\u200bb\u200cc\u200dd\u2060e\ufefff\xad",
    "tags": "\U000e0001\U000e0041\U000e007f",
    "surrogate": "\ud800 \udfff",
    "private": "\ue000\U000f0000\ufdd0\uffff",
}


def is_clean(text: str) -> bool:
    return all(
        one == "\n" or category(one) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        for one in text
    )


def fields(value: str) -> Any:
    """Something of each kind that a command shows, all of whose texts are hostile."""
    url, seconds = f"http://ui/{value}", 1.5
    one = saga(
        workflow_id=value,
        run_id=value,
        operation=value,
        operation_id=value,
        store_id=value,
        user_id=value,
        product_id=value,
        order_id=value,
        url=url,
        reason=value,
    )
    effect = PendingEffect(
        value, value, value, value, value, value, value, RelayId(EffectKind.EVENT, 1), NOW
    )
    relay = RelayState(RelayId(EffectKind.EVENT, 1), 1, NOW, True, True, value, NOW, value, url)
    return [
        saga_table([one], NOW),
        end_table([SagaEnd(one, Outcome.ABORTED, value, seconds)]),
        relay_table([relay], NOW),
        effect_table([effect], NOW),
        step_table([HistoryEntry(NOW, value, seconds, 1, value)], NOW),
        stuck_table([StuckItem("saga", value, value, value, NOW, url)], NOW),
        line_table([LineOfChange(value, 1, 2, value, value, value)]),
        latest_table([LatestChange(NOW, value, value, value, value)]),
    ]


@pytest.mark.parametrize("width", ["", "40", "80", "200"])
@pytest.mark.parametrize("name", HOSTILE)
def test_no_table_or_line_has_it(
    name: str, width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    value = f"begin {HOSTILE[name]} end"
    monkeypatch.delenv("COLUMNS", raising=False)
    if width:
        monkeypatch.setenv("COLUMNS", width)
    grid = RichTable(value)
    grid.add_row(value, Text(value, "bold"))
    show(None, value, Text(value, "red"), Table([value], (value, str)), *fields(value))
    output().print(value, Text(value), grid, Panel(value))
    say(value)
    say_whole(value)
    warn(value)
    print_json({value: value})
    printed = capsys.readouterr()
    assert is_clean(printed.out)
    assert is_clean(printed.err)
    assert printed.err.count("\n") >= 1
    assert "begin" in printed.out
    escape = printable(HOSTILE[name]).split(" ")[0]
    assert escape[:6] in printed.out


@pytest.mark.parametrize("name", HOSTILE)
def test_a_newline_in_a_value_forges_no_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    value = HOSTILE[name]
    say(value)
    show(None, Table([value], ("name", str)))
    assert capsys.readouterr().out.count("\n") == 3


@pytest.mark.parametrize(
    "words", [("list",), ("show", "0-1"), ("list", "--json"), ("show", "0-1", "--json")]
)
@pytest.mark.parametrize("name", HOSTILE)
def test_no_dead_letter_has_it(
    name: str,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    value = HOSTILE[name]
    raw = value.encode(errors="surrogatepass")
    letter = a_letter(raw, value)

    async def letters(_: object) -> list[Letter]:
        return [letter]

    monkeypatch.setenv("CART_ENV_FILE", "")
    monkeypatch.setattr(dlq, "letters", letters)
    monkeypatch.setattr(dlq, "ping", lambda *_, **__: letters(_))
    with pytest.raises(SystemExit) as ended:
        main(["dlq", *words])
    printed = capsys.readouterr()
    assert ended.value.code in {0, None}, printed.err
    assert is_clean(printed.out)
    if "--json" in words:
        shown = json.loads(printed.out)
        assert value in json.dumps(shown, ensure_ascii=False) or json.dumps(value)[
            1:-1
        ] in json.dumps(shown)


def a_letter(raw: bytes, text: str) -> Letter:
    return Letter(
        id="0-1",
        topic=text,
        partition=0,
        offset=1,
        timestamp=0,
        error=text,
        detail=text,
        parked_at=text,
        size=len(raw),
        key=raw,
        value=raw,
        headers=((text, raw),),
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_no_finding_of_the_doctor_has_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    value = HOSTILE[name]
    for as_json in (False, True):
        _show("part", [CheckResult(value, Status.FAILED, value, value)], as_json=as_json)
    assert is_clean(capsys.readouterr().out)


LOGGING = """
import json, logging, sys, structlog, logs
logs.configure_logging("info", {format!r})
for value in json.loads(sys.stdin.read()):
    logging.getLogger("here").info("begin %s end", value, extra={{"event": value, "userId": value}})
    more = {{"a": [value]}}
    structlog.stdlib.get_logger("here").warning("event", message=value, field=value, more=more)
    try:
        raise ValueError(value)
    except ValueError:
        logging.getLogger(value).exception(value)
"""


@pytest.mark.parametrize("format_", ["json", "console"])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_no_log_line_has_it(encoding: str, format_: str, project_root: Path) -> None:
    values = [f"{text} ü日" for text in HOSTILE.values()]
    done = subprocess.run(
        [sys.executable, "-c", LOGGING.format(format=format_)],
        input=json.dumps(values).encode(),
        env={**os.environ, "PYTHONPATH": str(project_root), "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode(encoding)
    assert is_clean(lines)
    if format_ == "json":
        written = [json.loads(line) for line in lines.splitlines()]
        assert [line["userId"] for line in written[::3]] == values
        assert [line["field"] for line in written[1::3]] == values
        assert [line["message"] for line in written[2::3]] == values


def test_what_can_be_shown_stays(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("Zoë 日本 العربية 👍🏽 ①", "a b", "ideographic\u3000space", "no\xa0break"):
        assert printable(text) == text
        assert printable_json(json.dumps(text, ensure_ascii=False)) == json.dumps(
            text, ensure_ascii=False
        )
