"""The examples of `docs/api.md` show the responses of the service."""

import json
import re
from pathlib import Path

import pytest

from api.error_codes import ErrorCode
from api.errors import ABORTS, abort_answer, refusal_answer
from models.operations import AddItem, UpdateQuantity
from models.outcomes import Refusal, RefusalCode
from tests.contract.guide import PAGE, examples, rewritten
from tests.support.shop import Shop


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text()


async def test_every_example_shows_the_present_response(page: str, shop: Shop) -> None:
    assert await rewritten(page, shop) == page, "run `make docs`, and review the difference"


def test_every_route_has_an_example(page: str, project_root: Path) -> None:
    document = json.loads((project_root / "docs" / "openapi.json").read_text())
    shown = [example.operation for example in examples(page)]
    for path, item in document["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", path)
        for method in item:
            wanted = re.compile(f"{method.upper()} {pattern}")
            assert any(wanted.fullmatch(one) for one in shown), f"{method} {path}"


def test_the_table_of_errors_lists_every_code(page: str) -> None:
    table = page.partition("## Errors")[2]
    listed = {
        (code, int(status))
        for row in re.finditer(r"^\| ([^|]*) \| ([^|]*) \|", table, re.MULTILINE)
        for code in re.findall(r"`(\w+)`", row[1])
        for status in re.findall(r"\d{3}", row[2])
    }
    assert {code for code, _ in listed} == {*ErrorCode}
    refusals = [
        (code, refusal_answer(operation, Refusal(code=code), strict=strict))
        for code in RefusalCode
        for operation in (AddItem.name, UpdateQuantity.name)
        for strict in (True, False)
    ]
    aborts = [(reason, abort_answer(reason)) for reason in ABORTS]
    for code, answer in (*refusals, *aborts):
        assert (code, answer.status) in listed
