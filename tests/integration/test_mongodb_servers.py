"""MongoDB as operators run it: TLS with a private authority, and a user with a password.

TLS: https://www.mongodb.com/docs/manual/core/security-transport-encryption/, users:
https://www.mongodb.com/docs/manual/core/security-scram/. Members of a replica set with users
authenticate each other by a key file.
"""

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pymongo import AsyncMongoClient

from cli.doctor.mongodb import check_mongodb
from cli.doctor.results import CheckReport, CheckResult, Status
from dev.stack.ports import more_free_ports
from dev.stack.servers import mongodb_member
from dev.stack.stack import Stack
from dev.stack.supervisor import Supervisor
from settings import LOCALHOST, Settings, load_settings
from tests.conftest import settings_of_its_own
from tests.support.certificates import Certificates, certificates_in
from tests.support.shop import Shop, world_of
from tests.support.waiting import eventually

PASSWORD = "p@ss/w:rd#1"
DATABASE = "cart-service"


@dataclass(frozen=True)
class SecuredMongo:
    """A replica set of one member, with TLS and the user `cart`."""

    port: int
    certificates: Certificates

    def uri(self, password: str = PASSWORD, options: str = "&tls=true") -> str:
        login = f"cart:{quote(password, safe='')}"
        where = f"{LOCALHOST}:{self.port}/{DATABASE}"
        return f"mongodb://{login}@{where}?authSource=admin&replicaSet=secured{options}"


@asynccontextmanager
async def secured_mongodb(folder: Path) -> AsyncIterator[SecuredMongo]:
    [port] = more_free_ports(1)
    certificates = certificates_in(folder)
    key = folder / "members.key"
    key.write_bytes(base64.b64encode(os.urandom(96)))
    key.chmod(0o600)
    spec = mongodb_member(
        "mongodb-secured",
        port,
        folder,
        "secured",
        *("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(certificates.server)),
        *("--tlsCAFile", str(certificates.authority), "--tlsAllowConnectionsWithoutCertificates"),
        *("--auth", "--keyFile", str(key)),
    )
    members = Supervisor([spec], log_dir=folder / "logs", echo=print)
    await members.start()
    try:
        url = f"mongodb://{LOCALHOST}:{port}/?directConnection=true"
        ca_file = str(certificates.authority)
        async with AsyncMongoClient[dict[str, Any]](url, tls=True, tlsCAFile=ca_file) as client:
            host = {"_id": 0, "host": f"{LOCALHOST}:{port}"}
            await client.admin.command("replSetInitiate", {"_id": "secured", "members": [host]})

            async def has_primary() -> None:
                assert (await client.admin.command("hello"))["isWritablePrimary"]

            await eventually(has_primary, timeout=30)
            # Allowed without a login, from this machine, until there is a user.
            await client.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
        async with AsyncMongoClient[dict[str, Any]](
            url, tls=True, tlsCAFile=ca_file, username="root", password=PASSWORD
        ) as client:
            # The reference inventory keeps its stock on the same server.
            roles = [{"role": "readWrite", "db": name} for name in (DATABASE, "inventory")]
            await client.admin.command("createUser", "cart", pwd=PASSWORD, roles=roles)
        yield SecuredMongo(port, certificates)
    finally:
        await members.stop()


@pytest.fixture(scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecuredMongo]:
    async with secured_mongodb(tmp_path_factory.mktemp("secured-mongodb")) as server:
        yield server


async def judged(settings: Settings) -> list[CheckResult]:
    report = CheckReport()
    await check_mongodb(settings, report)
    return report.results


def settings_with(monkeypatch: pytest.MonkeyPatch, uri: str, ca_file: Path | None) -> Settings:
    monkeypatch.setenv("MONGODB_URI", uri)
    if ca_file is not None:
        monkeypatch.setenv("MONGODB_TLS_CA_FILE", str(ca_file))
    return load_settings()


async def test_the_whole_service_runs_on_it(
    secured: SecuredMongo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with settings_of_its_own(tmp_path / "stack"):
        settings = settings_with(monkeypatch, secured.uri(), secured.certificates.authority)
        async with Stack(settings, echo=print), world_of(settings) as world:
            shop = Shop(world)
            await shop.stock("lamp", 5)
            buyer = shop.buyer()
            assert (await buyer.add("lamp", 2)).status_code == 201
            assert (await buyer.get()).json()["quantity"] == 2
            await shop.assert_consistent()


@pytest.mark.parametrize(
    ("mistake", "named", "advice"),
    [
        ("wrong password", "Authentication failed", "user and password in MONGODB_URI"),
        ("no authority", "a certificate is not accepted", "MONGODB_TLS_CA_FILE"),
        ("no TLS", "the server closed the connection", "it may require TLS"),
    ],
)
async def test_the_doctor_says_why_it_cannot_connect(
    secured: SecuredMongo, monkeypatch: pytest.MonkeyPatch, mistake: str, named: str, advice: str
) -> None:
    uri = {
        "wrong password": secured.uri("another one"),
        "no authority": secured.uri(),
        "no TLS": secured.uri(options=""),
    }[mistake]
    authority = secured.certificates.authority if mistake == "wrong password" else None
    settings = settings_with(monkeypatch, uri, authority)

    async def named_it() -> None:  # a busy machine may not answer in time
        results = await judged(settings)
        assert results[0].state is Status.FAILED
        assert named in results[0].what
        assert advice in results[0].advice
        assert PASSWORD not in str(results)

    await eventually(named_it, timeout=60)
