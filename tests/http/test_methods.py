"""HEAD wherever GET is, OPTIONS everywhere, and `Allow` with each 405.

RFC 9110: 9.3.2 (HEAD has the header fields of GET and no content), 9.3.7 (OPTIONS), 15.5.6 (405
names the methods), 15.6.2 (501 for a method that the server does not know at all).
"""

import pytest

from tests.fakes.api import URL, FakeApi
from tests.http.conftest import Served

CART = "/api/v1/cart/507f1f77bcf86cd799439013"
OPERATION = f"/api/v1/cart/store-1/operations/{'0' * 32}"
ALLOWED = {
    URL: "DELETE, GET, HEAD, OPTIONS, POST",
    CART: "DELETE, GET, HEAD, OPTIONS, PUT",
    f"{URL}/events": "GET, HEAD, OPTIONS",
    f"{CART}/history": "GET, HEAD, OPTIONS",
    f"{CART}/items/p": "DELETE, OPTIONS",
    "/api/v1/cart/store-1/admin/carts": "GET, HEAD, OPTIONS",
    OPERATION: "GET, HEAD, OPTIONS",
    "/admin/log-level": "OPTIONS, POST",
    "/health": "GET, HEAD, OPTIONS",
    "/health/live": "GET, HEAD, OPTIONS",
    "/health/ready": "GET, HEAD, OPTIONS",
    "/metrics": "GET, HEAD, OPTIONS",
    "/openapi.json": "GET, HEAD, OPTIONS",
    "/docs": "GET, HEAD, OPTIONS",
    "/docs/assets/swagger-ui.css": "GET, HEAD, OPTIONS",
}
STREAM = f"{URL}/events"  # `test_live` has its HEAD
VARIES = {"x-request-id", "date", "content-length"}


@pytest.mark.parametrize("url", ALLOWED)
async def test_options_names_the_methods_without_a_token(url: str) -> None:
    api = FakeApi()
    answer = await api.client.options(url)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Allow"] == ALLOWED[url]
    assert api.mongo.reads == 0


@pytest.mark.parametrize("method", ["PATCH", "TRACE", "PROPFIND", "LINK", "QUERY"])
async def test_another_method_gets_405_with_the_methods(served: Served, method: str) -> None:
    for url in (URL, CART, "/health", "/metrics", "/admin/log-level"):
        reply = await served.ask(served.request(method, url, token=False))
        assert (reply.status, reply.header("allow")) == (405, ALLOWED[url])


async def test_a_path_that_does_not_exist_is_404_for_every_method(served: Served) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "POST", "PATCH"):
        reply = await served.ask(served.request(method, "/nowhere"), head=method == "HEAD")
        assert reply.status == 404


@pytest.mark.parametrize("method", ["FOO", "get", "Get", "X-CUSTOM"])
async def test_a_method_that_nobody_knows_gets_501(served: Served, method: str) -> None:
    reply = await served.ask(served.request(method))
    assert (reply.status, reply.json["code"]) == (501, "method_not_implemented")


@pytest.mark.parametrize("target", ["*", "http://cart.example.com", "http://cart.example.com?a=b"])
async def test_options_of_the_server_itself(served: Served, target: str) -> None:
    """RFC 9112, 3.2.4. There is no resource at the root, which is what such targets stand for."""
    reply = await served.ask(served.request("OPTIONS", target))
    assert (reply.status, reply.header("allow")) == (204, "DELETE, GET, HEAD, OPTIONS, POST, PUT")


@pytest.mark.parametrize(
    "url",
    [
        url
        for url, allowed in ALLOWED.items()
        if "HEAD" in allowed and url not in {STREAM, "/metrics"}
    ],
)
async def test_head_has_the_headers_of_get_and_no_content(served: Served, url: str) -> None:
    admin = served.api.token(role="admin")["Authorization"]
    asked = (url, f"Authorization: {admin}")
    wire = await served.wire()
    await wire.send(served.request("GET", *asked, token=False))
    got = await wire.reply()
    await wire.send(served.request("HEAD", *asked, token=False))
    head = await wire.reply(head=True)
    assert head.status == got.status
    names = [name for name, _ in got.headers]
    assert [name for name, _ in head.headers] == names
    if url.startswith("/health"):  # with the time in it
        assert int(head.header("content-length") or 0) > 0
    else:
        assert head.header("content-length") == got.header("content-length")
        assert head.header("etag") == got.header("etag")
    # Content after the head would be taken for the next response.
    await wire.send(served.request("GET", "/health/live"))
    assert (await wire.reply()).status == 200


async def test_head_needs_a_token_and_knows_conditions(served: Served) -> None:
    reply = await served.ask(served.request("HEAD", token=False), head=True)
    assert (reply.status, reply.header("www-authenticate")) == (401, "Bearer")
    known = f"If-None-Match: {(await served.ask(served.request())).header('etag')}"
    assert (await served.ask(served.request("HEAD", URL, known), head=True)).status == 304
