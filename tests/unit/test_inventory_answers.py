"""What each answer of an inventory leads to, for each call; over HTTP."""

import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.inventory import InventoryClient, Stock
from adapters.service_http import MAX_BODY_BYTES, ServiceHttp
from models.effects import ReleaseEffect
from models.errors import DependencyTimeout, DependencyUnavailable, EffectRefused
from models.steps import Reservation, ReserveInventory
from tests.support.http_answers import RawAnswer, RawServer, raw_server

TIMEOUT_SECONDS = 0.3
HOLD = ReserveInventory(store_id="store", product_id="p", user_id="user", saga_id="s", quantity=5)
RELEASE = ReleaseEffect(
    id="effect-1", product_id="p", quantity=5, saga_id="s", reason="saga_aborted"
)

OUTAGE = DependencyUnavailable
GRANTED = Reservation(granted=True)
NOT_ACCEPTED = Reservation(granted=False, accepted=False)
DONE = None
NOT_TOLD = None

HTML = b"<html><body>Welcome</body></html>"
HUGE = b'{"success": true, "available": 4, "padding": "' + b"x" * MAX_BODY_BYTES + b'"}'
LARGE = b'{"success": true, "available": 4, "padding": "' + b"x" * 60_000 + b'"}'
FOUR = b'{"success": true, "available": 4}'
GZIP, DEFLATE = {"Content-Encoding": "gzip"}, {"Content-Encoding": "Deflate"}
THREE = RawAnswer(200, b'{"available": 3}')
TRICKLE = 0.05
"""Seconds between two bytes: each arrives in time, and the body never does."""


def few(available: int | None) -> Reservation:
    return Reservation(granted=False, available=available)


def granted(available: int | None) -> Reservation:
    return Reservation(granted=True, available=available)


# Answer, and what it leads to: for a reserve, a release, a check.
ANSWERS: list[Any] = [
    # Granted
    (RawAnswer(200, b'{"success": true, "available": 4}'), granted(4), DONE, NOT_TOLD),
    (RawAnswer(200, b'{"success": true, "reservationId": "r-1"}'), GRANTED, DONE, NOT_TOLD),
    (RawAnswer(201, b'{"reservationId": "r-1"}'), GRANTED, DONE, NOT_TOLD),
    (RawAnswer(200, b'{"success": null, "available": "4"}'), GRANTED, DONE, NOT_TOLD),
    (RawAnswer(200, b'{"available": -3, "held": 9}'), granted(0), DONE, Stock(0, 9)),
    (RawAnswer(200, b'{"available": 4, "held": 1}'), granted(4), DONE, Stock(4, 1)),
    (RawAnswer(200, b'{"available": 9007199254740993}'), GRANTED, DONE, NOT_TOLD),
    (RawAnswer(202, b"{}"), GRANTED, DONE, NOT_TOLD),
    (RawAnswer(204), GRANTED, DONE, NOT_TOLD),
    (RawAnswer(200), GRANTED, DONE, NOT_TOLD),
    (RawAnswer(200, b" \r\n"), GRANTED, DONE, NOT_TOLD),
    (RawAnswer(200, LARGE), granted(4), DONE, NOT_TOLD),
    (RawAnswer(200, b"\xef\xbb\xbf" + FOUR), granted(4), DONE, NOT_TOLD),
    (RawAnswer(200, FOUR, {"Content-Type": "text/plain"}), granted(4), DONE, NOT_TOLD),
    # Compressed, though none was asked for; and a charset in the wrong place
    (RawAnswer(200, gzip.compress(FOUR), GZIP), granted(4), DONE, NOT_TOLD),
    (RawAnswer(200, zlib.compress(FOUR), DEFLATE), granted(4), DONE, NOT_TOLD),
    (RawAnswer(200, FOUR, {"Content-Encoding": "UTF-8"}), granted(4), DONE, NOT_TOLD),
    (RawAnswer(204, headers=GZIP), GRANTED, DONE, NOT_TOLD),
    # Too few
    (RawAnswer(200, b'{"success": false, "available": 2}'), few(2), DONE, NOT_TOLD),
    (RawAnswer(200, b'{"success": false}'), few(3), DONE, NOT_TOLD),
    (RawAnswer(409, b'{"success": false, "available": 2}'), few(2), EffectRefused, NOT_TOLD),
    (RawAnswer(409, b'{"available": true}'), few(3), EffectRefused, NOT_TOLD),
    (RawAnswer(409, gzip.compress(b'{"available": 2}'), GZIP), few(2), EffectRefused, NOT_TOLD),
    (RawAnswer(409, b"no gzip", GZIP), few(3), EffectRefused, NOT_TOLD),
    (RawAnswer(409), few(3), EffectRefused, NOT_TOLD),
    (RawAnswer(409, HTML), few(3), EffectRefused, NOT_TOLD),
    (RawAnswer(409, HUGE), few(3), EffectRefused, NOT_TOLD),
    # Unknown product
    (RawAnswer(404, b'{"message": "no such product"}'), few(0), DONE, NOT_TOLD),
    (RawAnswer(404, HTML), few(0), DONE, NOT_TOLD),
    (RawAnswer(410), few(0), DONE, NOT_TOLD),
    # Not acceptable
    (RawAnswer(400, b'{"message": "no"}'), NOT_ACCEPTED, EffectRefused, NOT_TOLD),
    (RawAnswer(422), NOT_ACCEPTED, EffectRefused, NOT_TOLD),
    # No JSON where JSON decides
    (RawAnswer(200, HTML), OUTAGE, DONE, OUTAGE),
    (RawAnswer(200, b'"success"'), OUTAGE, DONE, OUTAGE),
    (RawAnswer(200, b"[]"), OUTAGE, DONE, OUTAGE),
    (RawAnswer(200, b'{"success": tru'), OUTAGE, DONE, OUTAGE),
    (RawAnswer(200, b'{"success": "false"}'), OUTAGE, DONE, NOT_TOLD),
    (RawAnswer(200, b"\x1f\x8b", GZIP), OUTAGE, DONE, OUTAGE),
    (RawAnswer(200, gzip.compress(FOUR)[:-9], GZIP), OUTAGE, DONE, OUTAGE),
    (RawAnswer(200, gzip.compress(b" " * 10_000_000), GZIP), OUTAGE, DONE, OUTAGE),
    (RawAnswer(200, FOUR, {"Content-Encoding": "br"}), OUTAGE, DONE, OUTAGE),
    (RawAnswer(200, HUGE), OUTAGE, DONE, OUTAGE),
    (RawAnswer(200, b"{" + b" " * 100 + b"}", pause=TRICKLE), DependencyTimeout, DONE, OUTAGE),
    (RawAnswer(200, b"{}", {"Content-Length": "nine"}), OUTAGE, OUTAGE, OUTAGE),
    # Others
    *((RawAnswer(status), OUTAGE, OUTAGE, OUTAGE) for status in (401, 403, 407, 408, 425, 429)),
    *((RawAnswer(status), OUTAGE, EffectRefused, OUTAGE) for status in (405, 413, 415)),
    *((RawAnswer(status), OUTAGE, OUTAGE, OUTAGE) for status in (500, 502, 503, 504)),
    (RawAnswer(503, HUGE), OUTAGE, OUTAGE, OUTAGE),
    (RawAnswer(302, headers={"Location": "/elsewhere"}), OUTAGE, OUTAGE, OUTAGE),
    (RawAnswer(307, headers={"Location": "/elsewhere"}), OUTAGE, OUTAGE, OUTAGE),
    (RawAnswer(silent=True), DependencyTimeout, DependencyTimeout, DependencyTimeout),
]


def name(value: Any) -> str | None:
    if isinstance(value, RawAnswer):
        return f"{value.status} {value.body[:24]!r}{' trickle' if value.pause else ''}"
    return value.__name__ if isinstance(value, type) else str(value)


@asynccontextmanager
async def inventory_with(
    answer: RawAnswer, call: str, check: RawAnswer = THREE
) -> AsyncIterator[tuple[InventoryClient, RawServer]]:
    """A client of an inventory that gives this answer to this call, and to others that of
    `check`."""

    def answering(path: str) -> RawAnswer:
        return answer if f"/{call}" in path else check

    async with raw_server(answering) as server:
        client = InventoryClient(
            ServiceHttp("inventory", server.url, timeout_seconds=TIMEOUT_SECONDS)
        )
        try:
            yield client, server
        finally:
            await client.close()


@pytest.mark.parametrize(("answer", "leads_to", "_release", "_check"), ANSWERS, ids=name)
async def test_each_answer_to_a_reserve(
    answer: RawAnswer, leads_to: Any, _release: Any, _check: Any
) -> None:
    async with inventory_with(answer, "reserve") as (client, server):
        if isinstance(leads_to, type):
            with pytest.raises(leads_to):
                await client.reserve(HOLD)
        else:
            assert await client.reserve(HOLD) == leads_to
    assert not any("elsewhere" in line for line in server.lines)


@pytest.mark.parametrize(("answer", "_reserve", "leads_to", "_check"), ANSWERS, ids=name)
async def test_each_answer_to_a_release(
    answer: RawAnswer, _reserve: Any, leads_to: Any, _check: Any
) -> None:
    async with inventory_with(answer, "release") as (client, _):
        if leads_to is DONE:
            await client.release("store", "user", RELEASE)
            return
        with pytest.raises(leads_to) as raised:
            await client.release("store", "user", RELEASE)
        if isinstance(raised.value, EffectRefused):
            assert raised.value.effect_id == RELEASE.id


@pytest.mark.parametrize(("answer", "_reserve", "_release", "leads_to"), ANSWERS, ids=name)
async def test_each_answer_to_a_check(
    answer: RawAnswer, _reserve: Any, _release: Any, leads_to: Any
) -> None:
    async with inventory_with(answer, "check") as (client, _):
        if isinstance(leads_to, type):
            with pytest.raises(leads_to):
                await client.check("store", "p")
        else:
            assert await client.check("store", "p") == leads_to


@pytest.mark.parametrize(("answer", "leads_to", "_release", "_check"), ANSWERS, ids=name)
async def test_each_answer_to_a_transfer(
    answer: RawAnswer, leads_to: Any, _release: Any, _check: Any
) -> None:
    """As to a reserve; but the call is optional, and no check completes a refusal."""
    move = HOLD.model_copy(update={"from_user_id": "guest"})
    async with inventory_with(answer, "transfer") as (client, server):
        if answer.status in {404, 405, 501}:
            assert await client.transfer(move) == Reservation(granted=False, supported=False)
        elif isinstance(leads_to, type):
            with pytest.raises(leads_to):
                await client.transfer(move)
        else:
            assert (await client.transfer(move)).refused_as == leads_to.refused_as
    assert not any("/check" in line for line in server.lines)


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_service_that_moves_no_units_is_no_outage(status: int) -> None:
    """Its circuit stays closed, so that reserves go on."""
    move = HOLD.model_copy(update={"from_user_id": "guest"})
    async with inventory_with(RawAnswer(status), "transfer") as (client, _):
        for number in range(10):
            product = move.model_copy(update={"product_id": f"p{number}"})
            assert not (await client.transfer(product)).supported
        assert (await client.reserve(HOLD)).granted


@pytest.mark.parametrize(
    ("check", "available"),
    [
        (RawAnswer(200, b'{"available": 0}'), 0),
        (RawAnswer(200, b'{"available": 5}'), None),  # enough for this reserve
        (RawAnswer(200, b"{}"), None),
        (RawAnswer(404), None),
        (RawAnswer(500), None),
        (RawAnswer(200, HTML), None),
        (RawAnswer(silent=True), None),
    ],
    ids=name,
)
async def test_a_refusal_without_a_number_is_completed_by_a_check(
    check: RawAnswer, available: int | None
) -> None:
    async with inventory_with(RawAnswer(409), "reserve", check) as (client, server):
        assert await client.reserve(HOLD) == few(available)
    assert [line.split(" ")[1] for line in server.lines] == [
        "/api/v1/inventories/reserve",
        "/api/v1/inventories/check/p?storeId=store",
    ]


async def test_a_service_that_is_not_there_is_an_outage() -> None:
    async with raw_server(lambda _: RawAnswer()) as server:
        pass
    client = InventoryClient(ServiceHttp("inventory", server.url, timeout_seconds=TIMEOUT_SECONDS))
    with pytest.raises(DependencyUnavailable):
        await client.reserve(HOLD)
    await client.close()
