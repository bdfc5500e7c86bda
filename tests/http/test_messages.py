"""What RFC 9112 allows is served, and what it forbids gets 400 and a closed connection.

Where proxies and servers could read the same bytes as different requests (request smuggling), the
request is refused: both Content-Length and Transfer-Encoding (6.1), several lengths (6.3), no or
several Host (3.2), bare LF, white space before a colon (5.1), folded lines (5.2).
"""

import asyncio
import json
import logging

import pytest

from tests.fakes.api import ITEM
from tests.http.conftest import Served, until

BODY = json.dumps(ITEM).encode()
LIVE = "GET /health/live HTTP/1.1\r\n"

BAD = {
    "length and chunked": "{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": "{post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": "{post}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{{}}",
    "the same length twice": "{post}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}",
    "a list of lengths": "{post}Content-Length: 2, 2\r\n\r\n{{}}",
    "a negative length": "{post}Content-Length: -2\r\n\r\n{{}}",
    "a length with a sign": "{post}Content-Length: +2\r\n\r\n{{}}",
    "a hexadecimal length": "{post}Content-Length: 0x2\r\n\r\n{{}}",
    "a huge length": "{post}Content-Length: 99999999999999999999999\r\n\r\n{{}}",
    "an empty length": "{post}Content-Length:\r\n\r\n{{}}",
    "another coding": "{post}Transfer-Encoding: gzip\r\n\r\n",
    "a coding before chunked": "{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": "{post}" + "Transfer-Encoding: chunked\r\n" * 2 + "\r\n0\r\n\r\n",
    "a disguised coding": "{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "an empty coding": "{post}Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is none": "{post}Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "a chunk size of 40 digits": "{post}Transfer-Encoding: chunked\r\n\r\n" + "f" * 40 + "\r\n",
    "a chunk without its end": "{post}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}xx",
    "space before the colon": LIVE + "Host : a\r\n\r\n",
    "a folded line": LIVE + "Host: a\r\nX-A: 1\r\n 2\r\n\r\n",
    "bare LF": "GET /health/live HTTP/1.1\nHost: a\n\n",
    "bare LF in a field": LIVE + "Host: a\r\nX-A: 1\nX-B: 2\r\n\r\n",
    "bare CR in a field": LIVE + "Host: a\r\nX-A: 1\rX-B: 2\r\n\r\n",
    "NUL in a field": LIVE + "Host: a\r\nX-A: 1\x002\r\n\r\n",
    "a field without a name": LIVE + "Host: a\r\n: 1\r\n\r\n",
    "a line without a colon": LIVE + "Host: a\r\nnonsense\r\n\r\n",
    "a name with a space": LIVE + "Host: a\r\nX A: 1\r\n\r\n",
    "a host with a path": LIVE + "Host: a/b\r\n\r\n",
    "a host with a space": LIVE + "Host: a b\r\n\r\n",
    "a list of hosts": LIVE + "Host: a, b\r\n\r\n",
    "a login in the host": LIVE + "Host: user@a\r\n\r\n",
    "a port that is none": LIVE + "Host: a:http\r\n\r\n",
    "a host that is not ASCII": LIVE + "Host: caf\xe9\r\n\r\n",
    "no host": LIVE + "\r\n",
    "two hosts": LIVE + "Host: a\r\nHost: b\r\n\r\n",
    "no version": "GET /health/live\r\n\r\n",
    "another version": "GET /health/live HTTP/9.9\r\nHost: a\r\n\r\n",
    "no target": "GET HTTP/1.1\r\nHost: a\r\n\r\n",
    "a relative target": "GET health/live HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in the target": "GET /health/live x HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x00" * 40,
    "Redis": "*1\r\n$4\r\nPING\r\n",
    "a response": "HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("text", BAD.values(), ids=list(BAD))
@pytest.mark.parametrize("split", [False, True], ids=["one packet", "bytes"])
async def test_what_is_not_http_gets_400(
    served: Served, text: str, split: bool, caplog: pytest.LogCaptureFixture
) -> None:
    token = f"Authorization: {served.api.token()['Authorization']}"
    post = f"POST {served.url} HTTP/1.1\r\nHost: a\r\n{token}\r\n"
    raw = (text.format(post=post) if "{" in text else text).encode("latin-1")
    wire = await served.wire()
    with caplog.at_level(logging.INFO):
        if split:
            for at in range(len(raw)):
                wire.writer.write(raw[at : at + 1])
                if at > len(raw) - 40:
                    await asyncio.sleep(0)
        else:
            await wire.send(raw)
        reply = await wire.reply()
    assert reply.status == 400, reply
    assert reply.json["message"]
    assert reply.header("connection") == "close"
    assert await wire.is_closed()
    assert served.api.gateway.started == []
    assert [record for record in caplog.records if record.levelno > logging.WARNING] == []


async def test_the_second_request_of_smuggled_bytes_is_not_served(served: Served) -> None:
    inner = served.request("GET", "/health/live")
    outer = f"POST {served.url} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(inner) + 5}\r\n"
    wire = await served.wire()
    await wire.send(outer, "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", inner)
    assert (await wire.reply()).status == 400
    assert await wire.is_closed()


GOOD = {
    "absolute form": "GET http://cart.example.com/health/live HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute form, https": "GET https://a.example.com:443/health/live HTTP/1.1\r\nHost: x\r\n\r\n",
    "names in odd case": LIVE + "hOST: a\r\nACCEPT: */*\r\nx-REQUEST-id: abc\r\n\r\n",
    "no space after colons": LIVE + "Host:a\r\nAccept:*/*\r\n\r\n",
    "tabs and spaces": LIVE + "Host: \t a \t \r\n\r\n",
    "empty values": LIVE + "Host: a\r\nX-Empty:\r\nX-Other: \r\nAccept:\r\n\r\n",
    "empty lines before": "\r\n\r\n" + LIVE + "Host: a\r\n\r\n",
    "an empty query": "GET /health/live? HTTP/1.1\r\nHost: a\r\n\r\n",
    "a cache buster": "GET /health/live?_=123&_=124 HTTP/1.1\r\nHost: a\r\n\r\n",
    "latin-1 in a field": LIVE + "Host: a\r\nX-Name: J\xfcrgen\r\n\r\n",
    "a host of Docker": LIVE + "Host: cart_api.shop:4007\r\n\r\n",
    "a host by IPv6": LIVE + "Host: [2001:db8::1]:4007\r\n\r\n",
    "a host without its port": LIVE + "Host: a:\r\n\r\n",
    "an empty host": LIVE + "Host:\r\n\r\n",
    "HTTP/1.0": "GET /health/live HTTP/1.0\r\n\r\n",
    "a body of a GET": LIVE + "Host: a\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=list(GOOD))
async def test_all_of_these_are_the_same_request(served: Served, text: str) -> None:
    reply = await served.ask(text.encode("latin-1"))
    assert (reply.status, reply.json) == (200, {"status": "alive"})


async def test_http_1_0_closes_and_1_1_keeps_the_connection(served: Served) -> None:
    for version, closes in (("1.0", True), ("1.1", False)):
        wire = await served.wire()
        await wire.send(served.request(version=version))
        reply = await wire.reply()
        assert (reply.status, reply.header("connection") == "close") == (200, closes)
        assert await wire.is_closed(0.2) == closes


async def test_chunked_content_is_read_with_extensions_and_without_trailers(
    served: Served,
) -> None:
    """A trailer never becomes a header field (RFC 9110, 6.5.1)."""
    chunks = b"".join(
        b'%x;name="a;b"\r\n%b\r\n' % (len(part), part) for part in (BODY[:7], BODY[7:])
    )
    trailers = 'Idempotency-Key: from-trailer\r\nIf-Match: "x"\r\n\r\n'
    wire = await served.wire()
    await wire.send(
        served.request(
            "POST", served.url, "Transfer-Encoding: Chunked", "Trailer: Idempotency-Key"
        ),
        chunks,
        "0\r\n",
        trailers,
    )
    reply = await wire.reply()
    assert reply.status == 201
    assert reply.header("idempotency-key") != "from-trailer"
    assert served.api.gateway.started[0].if_match is None
    await wire.send(served.request("GET", "/health/live"))
    assert (await wire.reply()).status == 200


async def test_100_continue_is_sent_when_the_body_is_wanted(served: Served) -> None:
    wire = await served.wire()
    head = served.request(
        "POST", served.url, f"Content-Length: {len(BODY)}", "Expect: 100-Continue"
    )
    await wire.send(head)
    assert (await wire.reply()).status == 100
    await wire.send(BODY)
    assert (await wire.reply()).status == 201


async def test_http_1_0_gets_no_100(served: Served) -> None:
    """Its clients take any status for that of the response (10.1.1)."""
    head = served.request(
        "POST", served.url, f"Content-Length: {len(BODY)}", "Expect: 100-continue", version="1.0"
    )
    assert (await served.ask(head, BODY)).status == 201


async def test_without_100_the_connection_ends_with_the_answer(served: Served) -> None:
    """The client may send its body or not, so that the next bytes could be either (10.1.1)."""
    expect = ("Content-Length: 20", "Expect: 100-continue")
    for request, status in (
        (served.request("POST", served.url, *expect, token=False), 401),
        (served.request("POST", served.url, "Content-Length: 99999", expect[1]), 413),
    ):
        wire = await served.wire()
        await wire.send(request)
        reply = await wire.reply()
        assert (reply.status, reply.header("connection")) == (status, "close")
        assert await wire.is_closed()


async def test_a_client_may_close_its_sending_side(served: Served) -> None:
    wire = await served.wire()
    await wire.send(served.add())
    wire.writer.write_eof()
    assert (await wire.reply()).status == 201
    assert await wire.is_closed(2)


async def test_a_client_that_leaves_early_starts_nothing(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for part in (0, 10, 40, -30, -1):
            wire = await served.wire()
            await wire.send(served.add()[:part])
            wire.writer.close()
        await until(lambda: not served.server.server_state.connections)
    assert served.api.gateway.started == []
    assert caplog.records == []


async def test_two_authorization_fields_are_no_choice(served: Served) -> None:
    """The gateway may have checked one, and the service would take the other."""
    admin = served.api.token(role="admin")["Authorization"]
    own = served.api.token()["Authorization"]
    for second, status in ((admin, 401), (own, 200)):
        reply = await served.ask(served.request("GET", served.url, f"authorization: {second}"))
        assert reply.status == status


@pytest.mark.parametrize(
    "path",
    [
        "/health%2Flive",
        "/admin%2flog-level",
        "/api%2Fv1/cart/s/store",
        "/api/v1/cart/s%2Fstore",
        "/api/v1/cart/s%2fadmin%2Fcarts",
    ],
)
async def test_an_encoded_slash_leads_to_no_route(served: Served, path: str) -> None:
    """A proxy that closes `/admin/` or `/metrics` sees another path than the service would."""
    reply = await served.ask(served.request("GET", path))
    assert (reply.status, reply.json["code"]) == (404, "route_not_found")


@pytest.mark.parametrize("path", ["/health/%6Cive", "/%68ealth/live", "/health/live?a=%2F"])
async def test_encoded_letters_are_the_same_path(served: Served, path: str) -> None:
    """RFC 3986, 6.2.2.2."""
    assert (await served.ask(served.request("GET", path))).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/cart/%FF/store",
        "/api/v1/cart/%00/store",
        "/api/v1/cart/%/store",
        "/api/v1/cart/%zz/store",
        "/api/v1/cart/%2e%2e/store",
        "/api/v1/cart/..%2f..%2f/store",
        "/api/v1/cart/\xe4/store",
        "/api/v1/cart/s/admin/carts?page=%FF&limit=%00",
        "/api/v1/cart/s/admin/carts?userId=%C0%80",
        "/api/v1/cart/s/admin/carts?userId=\xe4",
        "/api/v1/cart/s/admin/carts?%FF=1",
        "/api/v1/cart/s/admin/carts?=&=&&;",
        "/api/v1/cart/s/store#fragment",
        "//api/v1/cart/s/store",
        "/api//v1/cart/s/store",
    ],
)
async def test_odd_targets_are_the_clients_error(served: Served, path: str) -> None:
    admin = served.api.token(role="admin")["Authorization"]
    request = served.request("GET", path, f"Authorization: {admin}", token=False)
    reply = await served.ask(request)
    assert 400 <= reply.status < 500
    assert reply.json
