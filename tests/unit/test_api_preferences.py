"""`Prefer: handling=strict` (RFC 7240): an error status where the contract answers with 200.

A client may send several preferences, on several lines, in any case, quoted, with parameters; of
a preference that is given twice the first counts (section 2). A word inside another preference's
value or parameters is no preference.
"""

import json

import pytest

from api.preferences import prefers_strict
from models.outcomes import Outcome, Refusal
from tests.fakes.api import FakeApi, result_of

SHORT = result_of(
    Outcome.REJECTED, refusal=Refusal(code="insufficient_stock", available=3, current=0)
)


@pytest.mark.parametrize(
    "lines",
    [
        ["handling=strict"],
        ["Handling=Strict"],
        ['handling="strict"'],
        ['handling="str\\ict"'],
        ["handling = strict"],
        ["respond-async, wait=10, handling=strict"],
        ["respond-async,handling=strict;why=none"],
        ["return=minimal", "handling=strict"],
        [", ,handling=strict,"],
        ["handling=strict, handling=lenient"],
        ['foo="a, b", handling=strict'],
    ],
)
def test_the_preference_is_found(lines: list[str]) -> None:
    assert prefers_strict(lines)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ["handling"],
        ["handling="],
        ['handling=""'],
        ["handling=lenient"],
        ["handling=lenient, handling=strict"],
        ["handling=strictly"],
        ["xhandling=strict"],
        ["respond-async; handling=strict"],
        ['foo="bar, handling=strict"'],
        ['foo="\\", handling=strict"'],
        ["strict"],
        ['handling="strict'],
    ],
)
def test_what_is_no_such_preference_has_no_effect(lines: list[str]) -> None:
    assert not prefers_strict(lines)


async def test_an_add_without_stock_is_answered_as_preferred() -> None:
    api = FakeApi()
    api.gateway.outcome = SHORT
    lenient = await api.post()
    assert lenient.status_code == 200
    assert "Preference-Applied" not in lenient.headers
    strict = await api.post(headers={"Prefer": "respond-async, handling=strict"})
    assert (strict.status_code, strict.json()) == (409, lenient.json())
    assert strict.headers["Preference-Applied"] == "handling=strict"


async def test_a_strict_add_that_takes_longer_shows_the_contracts_answer_at_its_url() -> None:
    api = FakeApi()
    accepted = await api.post(headers={"Prefer": "handling=strict"})
    assert accepted.status_code == 202
    api.gateway.found = SHORT
    shown = (await api.get(accepted.headers["Location"])).json()
    assert (shown["status"], shown["answer"]["status"]) == ("rejected", 200)
    assert shown["answer"]["body"]["code"] == "insufficient_stock"


async def test_other_refusals_do_not_depend_on_the_preference() -> None:
    api = FakeApi()
    api.gateway.outcome = result_of(Outcome.REJECTED, refusal=Refusal(code="product_not_accepted"))
    answers = [await api.post(headers={"Prefer": one}) for one in ("handling=strict", "wait=1")]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert json.loads(answers[0].content) == json.loads(answers[1].content)
