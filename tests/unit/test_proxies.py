"""HTTP proxies, by the variables of curl and most other programs.

https://curl.se/docs/manpage.html#ENVIRONMENT describes them; networks in `NO_PROXY` are those of
Go's golang.org/x/net/http/httpproxy. `localhost` and loopback addresses are never proxied there.
"""

import asyncio
from pathlib import Path

import pytest

from adapters.inventory import InventoryClient
from settings import Settings, SettingsError, load_settings
from settings.proxies import proxy_for
from tests.support.certificates import certificates_in
from tests.support.http_answers import RawAnswer, raw_server

PROXY = "http://proxy:3128"


@pytest.fixture(autouse=True)
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("HTTP_PROXY", "http://inventory:4008"),
        ("http_proxy", "http://inventory"),
        ("HTTPS_PROXY", "https://inventory"),
        ("https_proxy", "https://10.1.2.3/x"),
        ("ALL_PROXY", "https://inventory"),
        ("all_proxy", "http://[2001:db8::1]:80"),
    ],
)
def test_a_proxy_is_that_of_the_scheme(
    name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert proxy_for(url) is None
    monkeypatch.setenv(name, PROXY)
    assert proxy_for(url) == PROXY
    assert proxy_for("http://127.0.0.1:4008") is None
    assert proxy_for("https://[::1]") is None
    assert proxy_for("http://localhost:1") is None


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("*", "http://inventory", True),
        ("inventory", "http://inventory:4008", True),
        ("inventory:4008", "http://inventory:4008", True),
        ("inventory:80", "http://inventory:4008", False),
        ("other, .svc.cluster.local", "http://inventory.shop.svc.cluster.local", True),
        ("svc.cluster.local", "http://inventory.shop.svc.cluster.local", True),
        ("*.example.com", "http://inventory.example.com", True),
        ("example.com", "http://notexample.com", False),
        ("10.0.0.0/8", "http://10.1.2.3:4008", True),
        ("10.0.0.0/8", "http://11.1.2.3:4008", False),
        ("10.1.2.3", "http://10.1.2.3:4008", True),
        ("fd00::/8", "http://[fd00::1]:4008", True),
        (",, ,bad:port:", "http://inventory", False),
    ],
)
def test_exceptions(no_proxy: str, url: str, direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_for(url) == (None if direct else PROXY)


def test_a_proxy_without_a_scheme_is_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "user:pass@proxy:3128")
    assert proxy_for("http://inventory") == "http://user:pass@proxy:3128"


def test_a_proxy_that_cannot_be_used_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CART_ENV_FILE", "")
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy:1080")
    monkeypatch.setenv("INVENTORY_SERVICE_URL", "https://inventory")
    with pytest.raises(SettingsError, match="HTTPS_PROXY or ALL_PROXY: must be an http or https"):
        load_settings()


async def test_the_inventory_is_called_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with raw_server(lambda _: RawAnswer(204)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//user:pass@"))
        client = InventoryClient.of(Settings(inventory_service_url="http://inventory.test:4008"))
        await client.ping()
        await client.close()
    [request] = proxy.requests
    assert request.startswith("GET http://inventory.test:4008/health HTTP/1.1")
    assert "proxy-authorization: basic dxnlcjpwyxnz" in request.lower()


async def test_https_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    client = InventoryClient.of(Settings(inventory_service_url="https://inventory.test"))
    with pytest.raises(Exception, match="inventory"):
        await client.ping()
    await client.close()
    server.close()
    assert asked[0] == b"CONNECT inventory.test:443 HTTP/1.1\r\n"


async def test_an_own_authority_of_the_inventory_is_one_setting(tmp_path: Path) -> None:
    certificates = certificates_in(tmp_path)
    async with raw_server(lambda _: RawAnswer(204), certificates.server_tls()) as server:
        settings = Settings(
            inventory_service_url=server.url, inventory_tls_ca_file=certificates.authority
        )
        client = InventoryClient.of(settings)
        await client.ping()
        await client.close()
