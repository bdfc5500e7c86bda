"""What `docs/api.md` says is what the service answers."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from api.errors import UNAVAILABLE, Answer, abort_answer, refusal_answer
from models.messages import Refusal, RefusalCode
from tests.contract.guide import PAGE, examples, rewritten
from tests.support.shop import Shop
from workflows import ids


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text()


async def test_every_answer_on_the_page_is_the_one_of_now(page: str, shop: Shop) -> None:
    assert await rewritten(page, shop) == page, "run `make docs`, and look at what has changed"


def test_every_route_has_its_example(page: str, project_root: Path) -> None:
    document = json.loads((project_root / "docs" / "openapi.json").read_text())
    shown = [example.operation for example in examples(page)]
    for path, item in document["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", path)
        for method in item:
            wanted = re.compile(f"{method.upper()} {pattern}")
            assert any(wanted.fullmatch(one) for one in shown), f"{method} {path}"


def test_the_table_of_errors_has_every_code(page: str) -> None:
    table = page.partition("## Errors")[2]
    listed = {
        (int(row[1]), code or None)
        for row in re.finditer(r"^\| (\d{3}) \| ([^|]*)\|", table, re.MULTILINE)
        for code in (re.findall(r"`(\w+)`", row[2]) or [""])
    }
    refusals = [
        refusal_answer(operation, Refusal(code=code))
        for code in get_args(RefusalCode)
        for operation in (ids.ADD_ITEM, ids.UPDATE_QUANTITY)
    ]
    for answer in (*refusals, *map(abort_answer, UNAVAILABLE)):
        assert (answer.status, _code(answer)) in listed


def _code(answer: Answer) -> str | None:
    code: str | None = json.loads(answer.body).get("code")
    return code
