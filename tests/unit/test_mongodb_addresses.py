"""Addresses of MongoDB as operators write them.

The driver's rules: https://www.mongodb.com/docs/manual/reference/connection-string/ and its
specifications of SRV discovery and load balancers. With `mongodb+srv` DNS has the hosts and the
replica set's name, and an option in the address overrides it, so that nothing connects. Routers
(mongos) and load balancers have no name; a single host finds its replica set by itself.
"""

from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous import uri_parser

from adapters.mongo.client import database_of, open_client
from settings import Settings
from tests.support.certificates import certificates_in

AS_IT_IS = (
    "mongodb+srv://u:p@cluster0.example.net/cart-service?retryWrites=true&w=majority",
    "mongodb+srv://cluster0.example.net",
    "mongodb://mongos-1:27017,mongos-2:27017/cart-service?authSource=admin",
    "mongodb://mongo:27017/cart-service",
    "mongodb://mongo/?directConnection=true",
    "mongodb://mongo/?DIRECTCONNECTION=true",
    "mongodb://balancer.example.net/?loadBalanced=true",
    "mongodb://%2Ftmp%2Fmongodb-27017.sock/cart",
    "mongodb://a:1,b:2/cart?replicaset=rs7",
    "mongodb://user:p%40ss%2Fw%3Ard@[::1]:27017/cart?authSource=admin&replicaSet=rs0",
    "mongodb://CN%3Dcart@mongo/?authMechanism=MONGODB-X509&tls=true",
)
NEVER_NAMED = tuple(
    uri
    for uri in AS_IT_IS
    if any(mark in uri.lower() for mark in ("+srv", "directconn", "loadbal", ".sock", "replicaset"))
)


def address(uri: str | None = None, **more: Any) -> str:
    return Settings(mongodb_uri=uri, **more).mongodb.get_secret_value()


@pytest.mark.parametrize("uri", AS_IT_IS)
def test_nothing_is_added_that_no_setting_says(uri: str) -> None:
    assert address(uri) == uri


@pytest.mark.parametrize("uri", NEVER_NAMED)
def test_a_name_is_not_added_where_there_is_none_or_another(uri: str) -> None:
    assert address(uri, mongodb_replica_set="rs0") == uri


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("mongodb://a,b", "mongodb://a,b/?replicaSet=rs%2F1"),
        ("mongodb://a,b?tls=true", "mongodb://a,b/?tls=true&replicaSet=rs%2F1"),
        ("mongodb://u:p@a/cart", "mongodb://u:p@a/cart?replicaSet=rs%2F1"),
        ("mongodb://a/cart?w=1", "mongodb://a/cart?w=1&replicaSet=rs%2F1"),
    ],
)
def test_a_name_in_the_settings_is_added_to_hosts_without_one(uri: str, named: str) -> None:
    assert address(uri, mongodb_replica_set="rs/1") == named


def test_the_local_stack_has_its_name() -> None:
    assert address().endswith("/cart-service?replicaSet=rs0")
    assert address(mongodb_replica_set="rs9").endswith("?replicaSet=rs9")


async def test_the_name_of_an_atlas_cluster_comes_from_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hosts(_: Any) -> list[tuple[str, int]]:
        return [("shard-00-00.example.net", 27017), ("shard-00-01.example.net", 27017)]

    async def options(_: Any) -> str:
        return "authSource=admin&replicaSet=atlas-x1-shard-0"

    resolver: Any = uri_parser
    monkeypatch.setattr(resolver._SrvResolver, "get_hosts", hosts)
    monkeypatch.setattr(resolver._SrvResolver, "get_options", options)
    settings = Settings(mongodb_uri=AS_IT_IS[0], mongodb_replica_set="rs0")
    client = open_client(settings.mongodb, app_name="test")
    await client._get_topology()  # resolves the name
    assert client.topology_description.replica_set_name == "atlas-x1-shard-0"
    await client.close()


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://u:p@ss@mongo/cart",
        "mongodb://u:p:w@mongo/cart",
        "mongodb://u:p/w@mongo",
        "mongodb:///cart",
        "mongodb://",
    ],
)
def test_what_is_not_encoded_or_missing_is_named_and_not_shown(uri: str) -> None:
    with pytest.raises(ValueError, match="percent-encoded") as raised:
        Settings(mongodb_uri=uri)
    assert "ss" not in str(raised.value).replace("password", "")


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("mongodb://mongo/shop", "shop"),
        ("mongodb://mongo/", "cart-service"),
        ("mongodb://mongo", "cart-service"),
    ],
)
async def test_the_database_is_the_one_in_the_address(uri: str, name: str) -> None:
    client = open_client(Settings(mongodb_uri=uri).mongodb, app_name="test")
    assert database_of(client).name == name
    await client.close()


def test_an_own_authority_is_one_setting(tmp_path: Path) -> None:
    authority = certificates_in(tmp_path).authority
    found = address("mongodb://u:p@mongo/cart", mongodb_tls_ca_file=authority)
    client: AsyncMongoClient[Any] = AsyncMongoClient(found)
    context: Any = client.options.pool_options._ssl_context
    assert [one["subject"] for one in context.get_ca_certs()] == [((("commonName", "authority"),),)]
    own = f"mongodb://mongo/?tls=true&tlsCAFile={authority}"
    assert address(own, mongodb_tls_ca_file=authority) == own
    with pytest.raises(ValueError, match="MONGODB_TLS_CA_FILE: MONGODB_URI says tls=false"):
        address("mongodb://mongo/?tls=false", mongodb_tls_ca_file=authority)


def test_the_common_authority_is_that_of_openssl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates_in(tmp_path).authority))
    client: AsyncMongoClient[Any] = AsyncMongoClient(address("mongodb://mongo/?tls=true"))
    context: Any = client.options.pool_options._ssl_context
    assert "authority" in str(context.get_ca_certs())
