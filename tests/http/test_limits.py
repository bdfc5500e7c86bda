"""What one client may cost the others: bytes, fields, time and connections have limits.

431 for header fields (RFC 6585, 5), 414 for the target (RFC 9110, 15.5.15), 413 for content, 408
for a request that does not become complete (15.5.9), 503 for too many connections. Each is JSON
with a code, and ends its connection so that the client can read it (RFC 9112, 9.6).
"""

import asyncio
import statistics
import time
from contextlib import suppress

import pytest

from tests.fakes.api import settings_for_tests
from tests.http.conftest import Served, Wire, serving, until

KIB = 1024


@pytest.mark.parametrize(
    ("line", "times"),
    [
        (f"X-Large: {'a' * 17 * KIB}", 1),
        (f"Authorization: Bearer {'a' * 20 * KIB}", 1),
        (f"Cookie: {'a' * 8 * KIB}", 5),
        ("X-Many: 1", 101),
        (f"{'a' * 40 * KIB}: 1", 1),
    ],
    ids=["one", "token", "sum", "count", "name"],
)
async def test_header_fields_over_a_limit_are_refused(
    served: Served, line: str, times: int
) -> None:
    reply = await served.ask(served.request("GET", "/health/live", *[line] * times, token=False))
    assert (reply.status, reply.json["code"]) == (431, "header_fields_too_large")
    assert reply.header("connection") == "close"
    assert reply.header("content-type") == "application/json"
    assert reply.header("x-request-id")


async def test_header_fields_within_the_limits_are_accepted(served: Served) -> None:
    lines = [f"Cookie: {'a' * 15 * KIB}", *["X-Many: 1"] * 90]
    reply = await served.ask(served.request("GET", "/health/live", *lines))
    assert reply.status == 200


@pytest.mark.parametrize("start", ["", "GET /health/live HTTP/1.1\r\n"])
async def test_a_header_of_24_mb_is_refused_before_it_is_read(served: Served, start: str) -> None:
    wire = await served.wire()
    await wire.send(start or "GET /health/live HTTP/1.1\r\nHost: a\r\nX-Large: ")
    sent = 0
    try:
        while sent < 24 * KIB * KIB and not wire.reader._buffer:  # type: ignore[attr-defined]
            wire.writer.write(b"X-A: " + b"a" * 16 * KIB + b"\r\n" if start else b"a" * 16 * KIB)
            await wire.writer.drain()
            await asyncio.sleep(0)
            sent += 16 * KIB
    except ConnectionError:
        pass
    assert sent < KIB * KIB
    assert (await wire.reply()).status == 431
    assert await wire.is_closed()


async def test_a_target_that_is_too_long_is_refused(served: Served) -> None:
    for size, status in ((8 * KIB - 20, 200), (9 * KIB, 414), (30 * KIB, 414)):
        reply = await served.ask(served.request("GET", f"/health/live?{'a' * size}"))
        assert reply.status == status
    assert reply.json["code"] == "uri_too_long"


async def test_content_over_the_limit_is_refused_however_it_is_framed(served: Served) -> None:
    announced = served.request("POST", served.url, "Content-Length: 10000000000")
    chunked = served.request("POST", served.url, "Transfer-Encoding: chunked")
    chunk = b"4000\r\n" + b" " * 16 * KIB + b"\r\n"
    for parts in ((announced,), (announced, b" " * 70 * KIB), (chunked, *[chunk] * 5)):
        reply = await served.ask(*parts)
        assert (reply.status, reply.json["code"]) == (413, "body_too_large")


async def test_the_framing_of_chunks_is_bounded_too(served: Served) -> None:
    wire = await served.wire()
    await wire.send(served.request("POST", served.url, "Transfer-Encoding: chunked"))
    extended = b"1;" + b"x" * 8 * KIB + b"\r\n{\r\n"
    for _ in range(80):
        await wire.send(extended)
    reply = await wire.reply()
    assert (reply.status, reply.json["code"]) == (413, "request_too_large")
    assert served.api.gateway.started == []


@pytest.mark.parametrize(
    "sent",
    [
        "GET",
        "GET /health/live HTTP/1.1\r\nHost: a\r\n",
        "POST {url} HTTP/1.1\r\nHost: a\r\n{token}Content-Length: 10\r\n\r\n",
        "POST {url} HTTP/1.1\r\nHost: a\r\n{token}Content-Length: 10\r\n\r\n{{",
        "POST {url} HTTP/1.1\r\nHost: a\r\n{token}Transfer-Encoding: chunked\r\n\r\n5\r\n{{",
    ],
)
async def test_a_request_that_does_not_become_complete_gets_408(served: Served, sent: str) -> None:
    token = f"Authorization: {served.api.token()['Authorization']}\r\n"
    wire = await served.wire()
    # On a connection that has served a request, too.
    await wire.send(served.request("GET", "/health/live"))
    assert (await wire.reply()).status == 200
    await wire.send(sent.format(url=served.url, token=token))
    reply = await wire.reply()
    assert (reply.status, reply.json["code"]) == (408, "request_timeout")
    assert await wire.is_closed()
    assert served.api.gateway.started == []


async def test_a_trickle_does_not_prolong_the_time(served: Served) -> None:
    wire = await served.wire()
    await wire.send("GET /health/live HTTP/1.1\r\nHost: a\r\n")
    began = time.monotonic()
    while time.monotonic() - began < 20 and not wire.reader._buffer:  # type: ignore[attr-defined]
        await wire.send("X-Slow: 1\r\n")
        await asyncio.sleep(0.1)
    assert (await wire.reply()).status == 408
    assert time.monotonic() - began < 10


async def test_a_body_that_never_ends_is_cut_off_after_an_early_answer(served: Served) -> None:
    wire = await served.wire()
    await wire.send(served.request("POST", served.url, "Content-Length: 60000", token=False))
    assert (await wire.reply()).status == 401
    assert await wire.is_closed()


async def test_an_idle_connection_outlives_that_of_a_proxy() -> None:
    """ingress-nginx and cloud balancers reuse idle connections for 60 s."""
    assert settings_for_tests().keep_alive_seconds > 60
    async with serving(settings_for_tests(keep_alive_seconds=1)) as served:
        wire, unused = await served.wire(), await served.wire()
        await wire.send(served.request("GET", "/health/live"))
        await wire.reply()
        assert not await wire.is_closed(0.7)
        assert await wire.is_closed(3)
        assert await unused.is_closed(3)


async def test_over_the_number_of_connections_the_one_that_waits_longest_is_closed() -> None:
    async with serving(settings_for_tests(max_connections=3)) as served:
        half, idle, third = [await served.wire() for _ in range(3)]
        await half.send("GET /health/live HTTP/1.1\r\n")
        await idle.send(served.request("GET", "/health/live"))
        assert (await idle.reply()).status == 200
        for closed in (half, third, idle):
            newest = await served.wire()
            await newest.send(served.request("GET", "/health/live"))
            assert (await newest.reply()).status == 200
            assert await closed.is_closed(1)


async def test_while_all_connections_have_requests_a_new_one_gets_503() -> None:
    async with serving(settings_for_tests(max_connections=2)) as served:
        served.api.mongo.gate.clear()
        busy = [await served.wire() for _ in range(2)]
        for wire in busy:
            await wire.send(served.request())
        await until(lambda: served.api.mongo.reads >= 2)
        reply = await served.ask(served.request("GET", "/health/live"))
        assert (reply.status, reply.json["code"]) == (503, "too_many_connections")
        assert reply.header("retry-after")
        served.api.mongo.gate.set()
        assert [(await wire.reply()).status for wire in busy] == [200, 200]


async def test_pipelined_requests_are_answered_in_order_and_bounded(served: Served) -> None:
    wire = await served.wire()
    await wire.send(
        served.request(), served.add(), served.request("GET", "/nowhere"), "junk\r\n\r\n"
    )
    replies = [await wire.reply() for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 201, 404, 400]
    assert await wire.is_closed()
    flood = await served.wire()
    await flood.send(served.request("GET", "/health/live") * 1000)
    statuses = [(await flood.reply()).status for _ in range(18)]
    assert statuses == [200] * 17 + [400]
    assert await flood.is_closed()


async def test_500_slow_connections_do_not_slow_the_others_down(served: Served) -> None:
    async def median() -> float:
        wire, times = await served.wire(), []
        for _ in range(60):
            began = time.perf_counter()
            await wire.send(served.request())
            assert (await wire.reply()).status == 200
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    async def trickle(slow: list[Wire]) -> None:
        while True:
            for wire in slow:
                with suppress(ConnectionError):  # its time was over
                    await wire.send("X-Slow: 1\r\n")
                await asyncio.sleep(0.002)

    ratios = []
    for _ in range(3):  # the machine may be busy with other things
        before = await median()
        slow = [await served.wire() for _ in range(500)]
        for wire in slow:
            await wire.send("GET /health/live HTTP/1.1\r\nHost: a\r\n")
        sending = asyncio.create_task(trickle(slow))
        ratios.append(await median() / before)
        sending.cancel()
        if ratios[-1] <= 1.5:
            return
    raise AssertionError(ratios)


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    async with serving(settings_for_tests(keep_alive_seconds=1)) as served:
        wire = await served.wire()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        # More than the buffers of both sockets hold.
        await wire.send(served.request("GET", "/docs/assets/swagger-ui-bundle.js") * 16)
        connections = served.server.server_state.connections
        await until(lambda: bool(connections))
        [connection] = connections
        sent = connection.transport
        await until(lambda: sent.get_write_buffer_size() > 0)
        await until(lambda: not connections)
