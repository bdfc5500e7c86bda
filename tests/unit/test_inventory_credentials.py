"""What the inventory client shows of itself: a bearer token, headers, a client certificate."""

import ssl

import pytest
from pydantic import ValidationError

from adapters.inventory import InventoryClient
from adapters.service_http import ServiceHttp
from cli.doctor.results import TRIES, CheckReport, Status
from cli.doctor.services import check_inventory
from models.errors import DependencyUnavailable
from settings import Settings
from tests.support.certificates import Certificates, certificates_in
from tests.support.http_answers import RawAnswer, raw_server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates_in(tmp_path_factory.mktemp("certificates"))


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
    tls = certificates.server_tls(asks_for_client=True)
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
        http = ServiceHttp("inventory", server.url, timeout_seconds=1, tls=untrusting)
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
