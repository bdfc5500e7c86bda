"""What the inventory client shows of itself: a bearer token, headers, a client certificate."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from adapters.inventory import InventoryClient
from adapters.inventory_http import InventoryHttp
from cli.doctor.results import TRIES, CheckReport, Status
from cli.doctor.services import check_inventory
from models.errors import DependencyUnavailable
from settings import Settings
from tests.support.http_answers import RawAnswer, raw_server

LOCALHOST = ipaddress.ip_address("127.0.0.1")


@dataclass(frozen=True)
class Certificates:
    """PEM files: a certificate authority, and a server and a client with certificates of it."""

    authority: Path
    server: Path
    client: Path
    client_key: Path


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else None
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    now = dt.datetime.now(dt.UTC)
    root = ec.generate_private_key(ec.SECP256R1())

    def issued(name: str, key: ec.EllipticCurvePrivateKey, *, ca: bool) -> bytes:
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOCALHOST)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(root, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    server, client = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    files = {
        "authority.pem": issued("authority", root, ca=True),
        "server.pem": issued("server", server, ca=False) + _pem(server),
        "client.pem": issued("client", client, ca=False),
        "client.key": _pem(client),
        "locked.key": _pem(client, b"a password"),
        "other.key": _pem(server),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return Certificates(*(folder / name for name in [*files][:4]))


async def test_token_and_headers_are_sent_with_each_call() -> None:
    async with raw_server(lambda _: RawAnswer(204)) as server:
        settings = Settings(
            inventory_service_url=server.url,
            inventory_token="a-token",
            inventory_headers='{"X-Tenant": "shop"}',
        )
        client = InventoryClient.of(settings)
        await client.ping()
        await client.check("store", "p")
        await client.close()
        report = CheckReport()
        await check_inventory(settings, report)
        assert len(server.requests) == 3 + TRIES
        for request in server.requests:
            fields = request.lower().split("\r\n")
            assert "authorization: bearer a-token" in fields
            assert "x-tenant: shop" in fields


@pytest.mark.parametrize(
    "answer",
    [
        RawAnswer(200, headers={"Content-Length": "nine"}),
        RawAnswer(200, headers={"Transfer-Encoding": "chunked"}, body=b"no chunk"),
        RawAnswer(500),
        RawAnswer(silent=True),
    ],
)
async def test_no_error_shows_the_credentials(answer: RawAnswer) -> None:
    async with raw_server(lambda _: answer) as server:
        settings = Settings(
            inventory_service_url=server.url,
            inventory_token="a-secret",
            inventory_headers='{"X-Api-Key": "a-secret"}',
        )
        client = InventoryClient.of(settings, timeout_seconds=0.2)
        with pytest.raises(DependencyUnavailable) as raised:
            await client.check("store", "p")
        await client.close()
    assert "a-secret" not in f"{raised.value!r} {raised.value} {raised.value.__cause__}"


async def test_a_client_certificate_opens_a_service_that_requires_one(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates.authority))
    tls.load_cert_chain(certificates.server)
    tls.verify_mode = ssl.CERT_REQUIRED
    async with raw_server(lambda _: RawAnswer(200), tls) as server:
        settings = Settings(
            inventory_service_url=server.url,
            inventory_client_cert=certificates.client,
            inventory_client_key=certificates.client_key,
        )
        client = InventoryClient.of(settings)
        await client.ping()
        await client.close()
        report = CheckReport()
        await check_inventory(settings, report)
        assert [result.state for result in report.results] == [Status.OK]
        untrusting = ssl.create_default_context()
        http = InventoryHttp(server.url, timeout_seconds=1, tls=untrusting)
        stranger = InventoryClient(http)
        with pytest.raises(DependencyUnavailable):
            await stranger.ping()
        await stranger.close()


@pytest.mark.parametrize("key", ["locked.key", "other.key", "missing.key", "client.pem"])
def test_a_key_that_cannot_be_used_stops_the_start(certificates: Certificates, key: str) -> None:
    with pytest.raises(ValidationError, match="must be PEM files of a certificate and its key"):
        Settings(
            inventory_service_url="https://inventory",
            inventory_client_cert=certificates.client,
            inventory_client_key=certificates.client.parent / key,
        )
