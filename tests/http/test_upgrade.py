"""Offers to upgrade are ignored, and the request is served as usual.

RFC 9110, 7.8: a server may ignore `Upgrade`. The HTTP client of the JDK offers h2c with each
request to an `http:` URL, gateways offer others. llhttp, Uvicorn's parser, stops at such a request.
"""

import json

import pytest

from tests.fakes.api import ITEM
from tests.http.conftest import Served

BODY = json.dumps(ITEM).encode()
CHUNKED = b"5;note=x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (BODY[:5], len(BODY) - 5, BODY[5:])
OFFERS = {
    "JDK": (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    ),
    "WebSocket": (
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ),
    "TLS": ("connection: upgrade", "UPGRADE: TLS/1.2"),
    "several": ("Upgrade: h2c, foo/2", "Connection: upgrade"),
}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=list(OFFERS))
@pytest.mark.parametrize("split", [False, True], ids=["one packet", "later packets"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_body_is_read(
    served: Served, offer: tuple[str, ...], split: bool, chunked: bool
) -> None:
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(BODY)}"
    head = served.request("POST", served.url, *offer, framing)
    body = CHUNKED if chunked else BODY
    wire = await served.wire()
    parts = (head[:60], head[60:], body[:9], body[9:]) if split else (head + body,)
    for part in parts:
        await wire.send(part)
        if split:
            await served.idle()
    reply = await wire.reply()
    assert reply.status == 201, reply
    assert reply.header("upgrade") is None
    [added] = served.api.gateway.added
    assert added.product_id == ITEM["productId"]
    # The connection goes on, with and without further offers.
    await wire.send(served.request("GET", "/health/live", *offer), served.request())
    assert [(await wire.reply()).status for _ in range(2)] == [200, 200]


async def test_the_connection_options_beside_the_offer_are_kept(served: Served) -> None:
    wire = await served.wire()
    await wire.send(
        served.request("GET", "/health/live", "Connection: close, upgrade", "Upgrade: h2c")
    )
    reply = await wire.reply()
    assert (reply.status, reply.header("connection")) == (200, "close")
    assert await wire.is_closed()


async def test_connect_is_not_implemented(served: Served) -> None:
    reply = await served.ask("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
    assert (reply.status, reply.json["code"]) == (501, "method_not_implemented")
