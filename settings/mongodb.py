"""Settings of MongoDB."""

from collections.abc import Iterator
from functools import cached_property
from urllib.parse import parse_qsl, quote, urlsplit

from pydantic import SecretStr, field_validator

from settings.base import LOCALHOST, Port, SettingsGroup
from settings.tls import CaFile

LOCAL_REPLICA_SET = "rs0"
"""The name of the local stack's replica set, unless the setting has another."""
_SCHEMES = ("mongodb", "mongodb+srv")
_SRV = "mongodb+srv"
# An address with one of these options has no replica set to be named.
_WITHOUT_NAME = ("replicaset", "directconnection", "loadbalanced")


class MongodbSettings(SettingsGroup):
    """The replica set, or the routers of a sharded cluster, with carts and operation records."""

    mongodb_uri: SecretStr | None = None
    mongodb_replica_set: str | None = None
    mongodb_port: Port = 27017
    mongodb_tls_ca_file: CaFile | None = None

    # Checked by hand: `MongoDsn` adds a port to mongodb+srv addresses and to sockets, which the
    # driver rejects.
    @field_validator("mongodb_uri")
    @classmethod
    def _is_a_mongodb_uri(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return value
        uri = value.get_secret_value()
        scheme, _, rest = uri.partition("://")
        if scheme not in _SCHEMES:
            raise ValueError("must start with mongodb:// or mongodb+srv://")
        authority, _, path = rest.partition("?")[0].partition("/")
        user, _, hosts = authority.rpartition("@")
        if not hosts or "@" in user + path or user.count(":") > 1:
            raise ValueError(
                "must have a host, and its user and password percent-encoded: %40 for @, %3A for "
                ":, %2F for /"
            )
        return value

    def broken_rules(self) -> Iterator[str]:
        options = self.mongodb_options
        if self.mongodb_tls_ca_file and options.get("tls", options.get("ssl")) == "false":
            yield "MONGODB_TLS_CA_FILE: MONGODB_URI says tls=false"
        yield from self.missing_in_production("MONGODB_URI", self.mongodb_uri)
        yield from super().broken_rules()

    @cached_property
    def mongodb_options(self) -> dict[str, str]:
        """The options in `MONGODB_URI`, their names in lower case."""
        uri = self.mongodb_uri.get_secret_value() if self.mongodb_uri else ""
        return {name.lower(): value for name, value in parse_qsl(urlsplit(uri).query)}

    @cached_property
    def mongodb(self) -> SecretStr:
        """The MongoDB URI to connect to.

        To the local stack's, the name of its replica set is added. To `MONGODB_URI` only what a
        setting says and the URI does not: `MONGODB_REPLICA_SET`, which nothing but a list of hosts
        can have, and `MONGODB_TLS_CA_FILE`.
        """
        if self.mongodb_uri is None:
            uri = f"mongodb://{LOCALHOST}:{self.mongodb_port}/cart-service"
            name: str | None = self.mongodb_replica_set or LOCAL_REPLICA_SET
        else:
            uri = self.mongodb_uri.get_secret_value()
            name = self.mongodb_replica_set if self._may_have_name(uri) else None
        if name is not None:
            uri = _with_option(uri, "replicaSet", name)
        if self.mongodb_tls_ca_file is not None and "tlscafile" not in self.mongodb_options:
            uri = _with_option(uri, "tlsCAFile", str(self.mongodb_tls_ca_file))
        return SecretStr(uri)

    def _may_have_name(self, uri: str) -> bool:
        """Not for `mongodb+srv`, where DNS has the name, nor for sockets."""
        parts = urlsplit(uri)
        is_list = parts.scheme != _SRV and ".sock" not in parts.netloc.rpartition("@")[2]
        return is_list and not self.mongodb_options.keys() & set(_WITHOUT_NAME)


def _with_option(uri: str, name: str, value: str) -> str:
    if "/" not in uri.partition("://")[2].rpartition("?")[0] and "?" in uri:
        uri = uri.replace("?", "/?", 1)
    elif "/" not in uri.partition("://")[2]:
        uri += "/"
    return f"{uri}{'&' if '?' in uri else '?'}{name}={quote(value, safe='')}"
