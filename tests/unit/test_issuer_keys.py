"""The issuer's key document: what of it can be used, how it is fetched, and for how long.

RFC 7517 makes `kid`, `use`, `key_ops` and `alg` optional, and 5 says of sets of keys that those
which are not understood should be ignored. RFC 7518, 3.3 requires RSA keys of 2048 bits or more.
"""

import asyncio
import base64
import datetime
import gzip
import ipaddress
import json
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from api.auth import jwks
from api.auth.download import MAX_BYTES, download, key_client
from api.auth.jwks import JwksKeys, KeysUnavailableError, UnknownKeyError
from api.auth.keys import MAX_KEYS, read_keys

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
ED = ed25519.Ed25519PrivateKey.generate()
URL = "https://id.example.com/jwks"


def jwk(key: Any, *, private: bool = False, **more: Any) -> dict[str, Any]:
    kinds: dict[type, Any] = {
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
        ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm,
    }
    algorithm = next(kinds[kind] for kind in kinds if isinstance(key, kind))
    found: dict[str, Any] = json.loads(algorithm.to_jwk(key if private else key.public_key()))
    return found | more


def document(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def certificate(key: Any) -> x509.Certificate:
    """A certificate that the key has signed itself, for 127.0.0.1."""
    now = datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "company")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def x5c(key: Any) -> str:
    der = certificate(key).public_bytes(serialization.Encoding.DER)
    return base64.b64encode(der).decode()


# What can be used of a document.


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        *((name, RSA) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        ("ES256", P256),
        ("ES384", P384),
        ("ES512", P521),
        ("EdDSA", ED),
    ],
)
@pytest.mark.parametrize("names_algorithm", [True, False, None])
def test_a_key_is_used_for_the_algorithms_of_its_type(
    algorithm: str, key: Any, *, names_algorithm: bool | None
) -> None:
    more: dict[str, Any] = {"alg": algorithm} if names_algorithm else {}
    if names_algorithm is None:  # some serializers write what is absent as null
        more = {"alg": None, "use": None, "key_ops": None}
    found = read_keys(document(jwk(key, kid="k", **more)), algorithm)
    assert list(found.candidates("k")) == [key.public_key()]
    assert found.skipped == ()


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (None, "not an object"),
        ([], "not an object"),
        ({}, "kty is None"),
        ({"kty": "AKP", "alg": "ML-DSA-44"}, "kty is 'AKP'"),
        ({"kty": "oct", "k": "AAAA"}, "kty is 'oct'"),
        (jwk(P256), "kty is 'EC'"),
        ({"kty": "RSA"}, "Not a public or private key"),
        ({"kty": "RSA", "n": "!!", "e": "AQAB"}, ""),
        ({"kty": "RSA", "n": 7, "e": "AQAB"}, ""),
        ({"kty": "RSA", "n": jwk(RSA)["n"], "e": "AA"}, ""),
        ({"kty": "RSA", "x5c": ["!!"]}, ""),
        ({"kty": "RSA", "x5c": "AAAA"}, ""),
        ({"kty": "RSA", "x5c": [x5c(P256)]}, "another type of key"),
        (jwk(RSA, alg="RS512"), "alg is 'RS512'"),
        (jwk(RSA, alg="RSA-OAEP", use="enc"), "alg is 'RSA-OAEP'"),
        (jwk(RSA, use="enc"), "use is not sig"),
        (jwk(RSA, use=["sig"]), "use is not sig"),
        (jwk(RSA, key_ops=["encrypt"]), "key_ops has no verify"),
        (jwk(SMALL), "1024 bits"),
    ],
)
def test_a_key_that_cannot_be_used_is_skipped_and_the_others_are_used(entry: Any, why: str) -> None:
    found = read_keys(document(entry, jwk(RSA, kid="good")), "RS256")
    assert list(found.candidates("good")) == [RSA.public_key()]
    assert len(found.skipped) == 1
    assert why in found.skipped[0]
    with pytest.raises(ValueError, match="no key for RS256"):
        read_keys(document(entry), "RS256")


def test_keys_of_another_curve_are_skipped() -> None:
    with pytest.raises(ValueError, match="no key for ES384"):
        read_keys(document(jwk(P256), jwk(P521)), "ES384")


def test_a_key_may_be_given_by_its_certificate_alone() -> None:
    found = read_keys(document({"kty": "RSA", "kid": "k", "x5c": [x5c(RSA)]}), "RS256")
    assert list(found.candidates("k")) == [RSA.public_key()]


def test_of_a_private_key_only_the_public_part_is_loaded() -> None:
    private = jwk(RSA, private=True, kid="k", key_ops=["sign", "verify"])
    assert "d" in private
    found = read_keys(document(private), "RS256")
    assert list(found.candidates("k")) == [RSA.public_key()]


def test_several_keys_may_have_one_id_or_none() -> None:
    keys = (jwk(RSA, kid="k"), jwk(OTHER, kid="k"), jwk(OTHER))
    found = read_keys(b"\xef\xbb\xbf" + document(*keys), "RS256")
    assert list(found.candidates("k")) == [RSA.public_key(), OTHER.public_key()]
    assert len(found.candidates(None)) == 3
    assert list(found.candidates("other")) == []
    assert list(found.without_id) == [OTHER.public_key()]


def test_the_number_of_keys_is_bounded() -> None:
    found = read_keys(document(*(jwk(ED, kid=str(n)) for n in range(MAX_KEYS + 5))), "EdDSA")
    assert len(found.by_id) == MAX_KEYS


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}'])
def test_another_document_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"keys|key|JSON|unexpected|[Ii]nput"):
        read_keys(body, "RS256")


# How it is fetched.

Answer = httpx.Response | Exception


class Parts(httpx.AsyncByteStream):
    """A body as it comes from the network."""

    def __init__(self, *parts: bytes, wait: float = 0) -> None:
        self._parts = parts
        self._wait = wait

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            await asyncio.sleep(self._wait)
            yield part


class Web:
    """Answers by address, and counts the requests."""

    def __init__(self, pages: dict[str, Callable[[], httpx.Response]]) -> None:
        self.pages = pages
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        assert request.headers["Accept-Encoding"] == "identity"
        assert "Authorization" not in request.headers
        return self.pages[str(request.url)]()

    async def body(self, url: str) -> bytes:
        async with key_client(url, httpx.MockTransport(self)) as http:
            return (await download(http, url)).body


def page(body: bytes, **headers: str) -> Callable[[], httpx.Response]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: httpx.Response(200, stream=Parts(body), headers=named)


def to(location: str, status: int = 302) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(status, headers={"Location": location})


GOOD = document(jwk(RSA, kid="k"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed(status: int) -> None:
    web = Web({URL: to("/jwks/", status), URL + "/": page(GOOD)})
    assert await web.body(URL) == GOOD


async def test_a_redirect_may_lead_to_another_host_and_from_http_to_https() -> None:
    plain = "http://id.example.com/jwks"
    web = Web(
        {
            plain: to(URL),
            URL: to("https://cdn.example.net/k"),
            "https://cdn.example.net/k": page(GOOD),
        }
    )
    assert await web.body(plain) == GOOD


@pytest.mark.parametrize(
    "location", ["http://id.example.com/jwks", "ftp://id.example.com/jwks", "file:///etc/passwd"]
)
async def test_a_redirect_never_leaves_https(location: str) -> None:
    web = Web({URL: to(location)})
    with pytest.raises(ValueError, match="not https"):
        await web.body(URL)
    assert web.asked == [URL]


async def test_redirects_are_bounded() -> None:
    web = Web({URL: to(URL)})
    with pytest.raises(ValueError, match="more than 3 times"):
        await web.body(URL)
    assert len(web.asked) == 4


async def test_the_address_may_be_that_of_the_discovery_document() -> None:
    """OpenID Connect Discovery 1.0, 3: `jwks_uri`."""
    discovery = "https://id.example.com/.well-known/openid-configuration"
    body = json.dumps({"issuer": "https://id.example.com", "jwks_uri": URL}).encode()
    assert await Web({discovery: page(body), URL: page(GOOD)}).body(discovery) == GOOD
    insecure = json.dumps({"jwks_uri": "http://id.example.com/jwks"}).encode()
    with pytest.raises(ValueError, match="not https"):
        await Web({discovery: page(insecure)}).body(discovery)


async def test_a_compressed_answer_is_understood_and_bounded() -> None:
    """Some content networks compress although the request forbids it."""
    assert await Web({URL: page(gzip.compress(GOOD), content_encoding="gzip")}).body(URL) == GOOD
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < MAX_BYTES
    with pytest.raises(ValueError, match="too large when decompressed"):
        await Web({URL: page(bomb, content_encoding="gzip")}).body(URL)
    for name, body in (("gzip", b"no gzip"), ("br", b"\x0b"), ("compress", b"")):
        with pytest.raises(ValueError, match=r"decompressed|Content-Encoding"):
            await Web({URL: page(body, content_encoding=name)}).body(URL)


async def test_a_large_or_slow_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="too large or too slow"):
        await Web({URL: page(b" " * (MAX_BYTES + 1))}).body(URL)
    monkeypatch.setattr("api.auth.download.FETCH_SECONDS", 0.05)
    slow = Web({URL: lambda: httpx.Response(200, stream=Parts(*[b" "] * 1000, wait=0.02))})
    async with asyncio.timeout(5):
        with pytest.raises(ValueError, match="too large or too slow"):
            await slow.body(URL)


@pytest.mark.parametrize("status", [204, 304, 401, 403, 404, 429, 500, 503])
async def test_any_other_status_is_a_failure(status: int) -> None:
    with pytest.raises((httpx.HTTPError, ValueError)):
        await Web({URL: lambda: httpx.Response(status, content=b"")}).body(URL)


@pytest.fixture
def company(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An issuer on this machine with a certificate of an authority of its own: URL and file."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem, authority = tmp_path / "key.pem", tmp_path / "authority.pem"
    authority.write_bytes(certificate(key).public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(GOOD)))
            self.end_headers()
            self.wfile.write(GOOD)

        def log_message(self, *_: Any) -> None:
            """Prints nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}/jwks", authority
    server.shutdown()
    server.server_close()
    thread.join()


async def test_an_authority_of_the_company_is_trusted_by_ssl_cert_file(
    company: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, authority = company
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    # This machine is not reached through a proxy, whatever the environment says.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    keys = JwksKeys(url, "RS256")
    assert await keys.key("k") == RSA.public_key()
    await keys.close()
    monkeypatch.delenv("SSL_CERT_FILE")
    keys = JwksKeys(url, "RS256")
    with pytest.raises(KeysUnavailableError):
        await keys.key("k")
    await keys.close()


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readline())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    monkeypatch.setenv("HTTP_PROXY", address)
    monkeypatch.delenv("NO_PROXY", raising=False)
    url = "http://id.internal.example/jwks"
    async with server, key_client(url) as http:
        assert (await download(http, url)).body == GOOD
    assert seen == [f"GET {url} HTTP/1.1\r\n".encode()]
    monkeypatch.setenv("NO_PROXY", "internal.example")
    async with key_client(url) as http:
        with pytest.raises(httpx.HTTPError):
            await download(http, url)
    assert len(seen) == 1


# For how long it is used.


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(jwks, "time", clock)
    return clock


class Issuer:
    """An issuer whose keys a test changes; with `down` it answers 503."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = keys
        self.asked = 0
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, _: httpx.Request) -> httpx.Response:
        self.asked += 1
        await self.gate.wait()
        return (
            httpx.Response(503) if self.down else httpx.Response(200, content=document(*self.keys))
        )

    def jwks(self, **more: Any) -> JwksKeys:
        return JwksKeys(URL, "RS256", transport=httpx.MockTransport(self), **more)


async def settled() -> None:
    """Lets tasks in the background run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_keys_are_fetched_again_before_they_are_old_and_nobody_waits(clock: Clock) -> None:
    issuer = Issuer(jwk(RSA, kid="k"))
    keys = issuer.jwks()
    await keys.key("k")
    clock.now += jwks.REFRESH_AFTER_SECONDS + 1
    issuer.gate.clear()
    async with asyncio.timeout(10):
        for _ in range(5):
            await keys.key("k")
    issuer.keys = (jwk(OTHER, kid="l"),)
    issuer.gate.set()
    await settled()
    assert issuer.asked == 2
    assert await keys.key("l") == OTHER.public_key()
    with pytest.raises(UnknownKeyError):
        await keys.key("k")
    assert issuer.asked == 2


async def test_keys_outlive_their_issuer_for_a_bounded_time(clock: Clock) -> None:
    issuer = Issuer(jwk(RSA, kid="k"))
    keys = issuer.jwks(keep_hours=24)
    await keys.key("k")
    issuer.down = True
    for _ in range(24 * 12 - 1):
        clock.now += 300
        await keys.key("k")
        await settled()
    with pytest.raises(KeysUnavailableError):  # it cannot be known whether the issuer has it
        await keys.key("unknown")
    clock.now += 301
    with pytest.raises(KeysUnavailableError):
        await keys.key("k")
    issuer.down = False
    clock.now += jwks.REFRESH_SECONDS
    assert await keys.key("k") == RSA.public_key()


async def test_while_the_issuer_is_down_nobody_waits_for_it(clock: Clock) -> None:
    issuer = Issuer(jwk(RSA, kid="k"))
    keys = issuer.jwks()
    await keys.key("k")
    issuer.down = True
    clock.now += jwks.MAX_AGE_SECONDS + 1
    await keys.key("k")
    clock.now += jwks.REFRESH_SECONDS
    issuer.gate.clear()
    async with asyncio.timeout(10):
        await keys.key("k")
    issuer.gate.set()
    await settled()
    assert issuer.asked == 3


@pytest.mark.parametrize("kid", ["1", None])
async def test_an_issuer_may_change_its_key_and_keep_its_id(clock: Clock, kid: str | None) -> None:
    named: dict[str, Any] = {} if kid is None else {"kid": kid}
    issuer = Issuer(jwk(RSA, **named))
    keys = issuer.jwks()
    old = await keys.keys(kid)
    issuer.keys = (jwk(OTHER, **named),)
    assert list(await keys.newer_keys(kid, old)) == []  # within the interval
    clock.now += jwks.REFRESH_SECONDS
    assert list(await keys.newer_keys(kid, old)) == [OTHER.public_key()]
    clock.now += jwks.REFRESH_SECONDS
    assert list(await keys.newer_keys(kid, [OTHER.public_key()])) == []
    assert issuer.asked == 3


async def test_keys_without_an_id_are_tried_for_an_unknown_one(clock: Clock) -> None:
    issuer = Issuer(jwk(RSA), jwk(OTHER, kid="k"))
    keys = issuer.jwks()
    assert list(await keys.keys("unknown")) == [RSA.public_key()]
    assert list(await keys.keys("k")) == [OTHER.public_key()]


async def test_a_document_without_a_usable_key_does_not_replace_the_keys(clock: Clock) -> None:
    issuer = Issuer(jwk(RSA, kid="k"))
    keys = issuer.jwks()
    await keys.key("k")
    issuer.keys = ()
    clock.now += jwks.MAX_AGE_SECONDS + 1
    assert await keys.key("k") == RSA.public_key()


async def test_the_log_names_the_keys_that_are_skipped_once(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = Issuer(jwk(RSA, kid="k"), jwk(SMALL, kid="small"))
    keys = issuer.jwks()
    for _ in range(3):
        await keys.key("k")
        clock.now += jwks.MAX_AGE_SECONDS + 1
    [line] = [one for one in caplog.records if vars(one).get("event") == "jwks_keys_skipped"]
    assert "small" in str(vars(line)["reasons"])
