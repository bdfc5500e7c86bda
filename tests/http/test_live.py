"""Live carts over HTTP: what their clients read, and how a stream ends."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from adapters.redis.answers import change_hint
from api.live import HEARTBEAT_SECONDS, MAX_SECONDS, LiveStream
from models.cart import CartKey
from tests.fakes.api import STORE, URL, USER, cart_of, settings_for_tests
from tests.http.conftest import Served, serving, until
from tests.support.live_carts import LiveCart, live_cart

KEY = CartKey(STORE, USER)
CART_ID = "507f1f77bcf86cd799439013"


@asynccontextmanager
async def following(served: Served, **headers: str) -> AsyncIterator[LiveCart]:
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{served.port}", timeout=30) as http,
        live_cart(http, URL, served.api.token() | headers) as stream,
    ):
        yield stream


def change(served: Served, version: int, **changed: Any) -> None:
    """The cart has a new version, and Redis says so."""
    served.api.mongo.carts[KEY] = cart_of(version=version, **changed)
    served.api.state.live.note(change_hint(KEY))


def streams(served: Served) -> list[LiveStream]:
    return [*served.api.state.live._streams]


def pass_seconds(served: Served, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(served.api.state.live, "_clock", lambda: time.time() + seconds)


async def test_the_cart_comes_at_once_and_with_each_new_version(served: Served) -> None:
    async with following(served) as live:
        assert live.response.status_code == 200
        headers = live.response.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "private, no-store"
        assert headers["X-Accel-Buffering"] == "no"
        first = await live.event()
        assert first is not None
        assert (first.name, first.id, live.retry) == ("cart", f"3-{CART_ID}", 2000)
        assert first.data == (await served.api.get()).json()
        change(served, 4, full_name="a\nb")
        second = await live.event()
        assert second is not None
        assert (second.id, second.data["fullName"]) == (f"4-{CART_ID}", "a\nb")
        served.api.mongo.carts.clear()
        served.api.state.live.note(change_hint(KEY))
        gone = await live.event()
        assert gone is not None
        assert (gone.name, gone.id, gone.data) == ("cart_deleted", "0", {"storeId": STORE})
    await until(lambda: not streams(served))


@pytest.mark.parametrize("known", [f"3-{CART_ID}", "0"])
async def test_what_the_client_has_is_not_sent_again(served: Served, known: str) -> None:
    if known == "0":
        served.api.mongo.carts.clear()
    async with following(served, **{"Last-Event-ID": known}) as live:
        await until(lambda: bool(streams(served)) and not streams(served)[0].changed)
        change(served, 5)
        found = await live.event()
        assert found is not None
        assert found.id == f"5-{CART_ID}"


async def test_another_cart_and_a_repeated_hint_send_nothing(served: Served) -> None:
    async with following(served) as live:
        await live.event()
        served.api.state.live.note(change_hint(CartKey(STORE, "another-user")))
        served.api.state.live.note(change_hint(KEY))
        with pytest.raises(TimeoutError):
            await live.event(within=0.3)


async def test_a_lost_hint_is_made_up_for_at_the_next_heartbeat(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(served) as live:
        await live.event()
        served.api.mongo.carts[KEY] = cart_of(version=9)
        await served.api.state.live.tick()
        with pytest.raises(TimeoutError):
            await live.event(within=0.3)
    async with following(served, **{"Last-Event-ID": f"9-{CART_ID}"}) as live:
        await until(lambda: len(streams(served)) == 1 and not streams(served)[0].changed)
        served.api.mongo.carts[KEY] = cart_of(version=10)
        pass_seconds(served, monkeypatch, HEARTBEAT_SECONDS)
        await served.api.state.live.tick()
        found = await live.event()
        assert found is not None
        assert found.id == f"10-{CART_ID}"


async def test_a_heartbeat_keeps_the_connection_open(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(served) as live:
        await live.event()
        pass_seconds(served, monkeypatch, HEARTBEAT_SECONDS)
        await served.api.state.live.tick()
        pass_seconds(served, monkeypatch, MAX_SECONDS + 1)
        await until(lambda: not streams(served)[0].beats)
        await served.api.state.live.tick()
        assert await live.ends()
        assert live.heartbeats == 1


async def test_a_stream_ends_when_its_token_expires(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = served.api.token(ttl_seconds=60)
    async with following(served, **token) as live:
        await live.event()
        pass_seconds(served, monkeypatch, 30)
        await served.api.state.live.tick()
        assert not streams(served)[0].over
        leeway = served.api.settings.jwt_leeway_seconds
        pass_seconds(served, monkeypatch, 61 + leeway)
        await served.api.state.live.tick()
        assert await live.ends()


async def test_without_redis_the_stream_says_so_and_when_it_is_back(served: Served) -> None:
    live_carts = served.api.state.live
    async with following(served) as live:
        await live.event()
        served.api.hears_changes = False
        await live_carts.tick()
        away = await live.event()
        assert away is not None
        assert (away.name, away.id, away.data["code"]) == ("unavailable", None, "redis_unavailable")
        served.api.mongo.carts[KEY] = cart_of(version=4)
        served.api.hears_changes = True
        await live_carts.tick()
        seen = [await live.event(), await live.event()]
        assert {one.name for one in seen if one} == {"available", "cart"}
        # A worker that has not reconnected yet sends no hint.
        served.api.mongo.carts[KEY] = cart_of(version=5)
        await live_carts.tick()
        found = await live.event()
        assert found is not None
        assert found.id == f"5-{CART_ID}"
    served.api.hears_changes = False
    async with following(served) as live:
        names = [found.name for found in (await live.event(), await live.event()) if found]
        assert names == ["cart", "unavailable"]


async def test_without_mongodb_a_stream_is_refused_and_an_open_one_waits(served: Served) -> None:
    async with following(served) as live:
        await live.event()
        served.api.mongo.down = True
        change(served, 4)
        async with following(served) as refused:
            body = json.loads(await refused.response.aread())
            assert (refused.response.status_code, body["code"]) == (503, "mongodb_unavailable")
        await served.api.state.live.tick()
        served.api.mongo.down = False
        await served.api.state.live.tick()
        found = await live.event()
        assert found is not None
        assert found.id == f"4-{CART_ID}"


async def test_a_user_has_a_limited_number_of_streams(served: Served) -> None:
    limit = served.api.settings.live_streams_per_user
    for _ in range(limit):
        served.api.state.live.open(KEY, sent=None, expires_at=time.time() + 60)
    async with following(served) as live:
        body = json.loads(await live.response.aread())
    assert live.response.status_code == 429
    assert (body["code"], body["limit"]) == ("too_many_streams", limit)
    assert live.response.headers["Retry-After"] == "1"
    served.api.state.live.close(streams(served)[0])
    async with following(served) as live:
        assert await live.event() is not None


async def test_a_process_has_a_limited_number_of_streams() -> None:
    async with serving(settings_for_tests(live_streams=1)) as served:
        async with following(served) as live:
            await live.event()
            async with following(served) as another:
                body = json.loads(await another.response.aread())
        assert (another.response.status_code, body["code"]) == (503, "too_many_streams")
        assert "Retry-After" in another.response.headers


async def test_a_slow_reader_gets_the_newest_version_and_costs_no_memory(served: Served) -> None:
    wire = await served.wire()
    await wire.send(served.request("GET", f"{URL}/events"))
    await until(lambda: bool(streams(served)))
    [stream] = streams(served)
    large = "x" * 200_000
    for version in range(4, 204):
        change(served, version, full_name=large)
        await asyncio.sleep(0)
    change(served, 204)
    seen: list[int] = []
    async with asyncio.timeout(10):
        while 204 not in seen:
            line = await wire.reader.readline() if not seen else await _long_line(wire.reader)
            if line.startswith(b"id: "):
                seen.append(int(line[4:].split(b"-")[0]))
    assert seen == sorted(seen)
    assert len(seen) < 100  # 40 MB were not kept for it
    assert stream.sent == f"204-{CART_ID}"


async def _long_line(reader: asyncio.StreamReader) -> bytes:
    """A line of any length, or its beginning."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError as error:
        return await reader.readexactly(error.consumed)


async def test_a_client_that_leaves_is_forgotten(served: Served) -> None:
    wire = await served.wire()
    await wire.send(served.request("GET", f"{URL}/events"))
    await until(lambda: bool(streams(served)))
    wire.writer.transport.abort()
    await until(lambda: not streams(served))
    assert not served.api.state.live._by_hint
    assert not served.api.state.live._of_user


async def test_a_server_that_stops_ends_its_streams_at_once() -> None:
    patient = settings_for_tests().model_copy(update={"operation_wait_seconds": 10})
    async with serving(patient) as served:
        async with following(served) as live:
            await live.event()
            began = time.monotonic()
            served.server.should_exit = True
            assert await live.ends()
        await until(lambda: not served.server.server_state.connections)
        assert time.monotonic() - began < patient.operation_wait_seconds


async def test_head_has_the_headers_of_get_and_opens_no_stream(served: Served) -> None:
    reply = await served.ask(served.request("HEAD", f"{URL}/events"), head=True)
    assert (reply.status, reply.header("content-type")) == (200, "text/event-stream")
    assert not streams(served)


@pytest.mark.parametrize(
    ("accept", "status"),
    [("text/event-stream", 200), ("text/*", 200), ("*/*", 200), ("application/json", 406)],
)
async def test_accept_must_allow_events(served: Served, accept: str, status: int) -> None:
    request = served.request("HEAD", f"{URL}/events", f"Accept: {accept}")
    assert (await served.ask(request, head=True)).status == status


async def test_a_stream_needs_a_token(served: Served) -> None:
    reply = await served.ask(served.request("GET", f"{URL}/events", token=False))
    assert (reply.status, reply.json["code"]) == (401, "token_missing")
