"""Settings of MongoDB."""

from collections.abc import Iterator
from functools import cached_property
from urllib.parse import quote, urlsplit

from pydantic import SecretStr, field_validator

from settings.base import LOCALHOST, Port, SettingsGroup


class MongodbSettings(SettingsGroup):
    """The replica set that holds carts and operation records."""

    mongodb_uri: SecretStr | None = None
    mongodb_replica_set: str = "rs0"
    mongodb_port: Port = 27017

    # Checked by hand: `MongoDsn` adds a port to mongodb+srv addresses and to sockets, which the
    # driver rejects.
    @field_validator("mongodb_uri")
    @classmethod
    def _is_a_mongodb_uri(cls, value: SecretStr | None) -> SecretStr | None:
        if value and urlsplit(value.get_secret_value()).scheme not in {"mongodb", "mongodb+srv"}:
            raise ValueError("must start with mongodb:// or mongodb+srv://")
        return value

    def broken_rules(self) -> Iterator[str]:
        yield from self.missing_in_production("MONGODB_URI", self.mongodb_uri)
        yield from super().broken_rules()

    @cached_property
    def mongodb(self) -> SecretStr:
        """The MongoDB URI to connect to, including the replica set's name."""
        uri = (
            self.mongodb_uri.get_secret_value()
            if self.mongodb_uri
            else f"mongodb://{LOCALHOST}:{self.mongodb_port}/cart-service"
        )
        if "replicaSet=" not in uri and "directConnection=" not in uri:
            if "/" not in uri.split("://", 1)[1]:
                uri += "/"
            uri += f"{'&' if '?' in uri else '?'}replicaSet={quote(self.mongodb_replica_set)}"
        return SecretStr(uri)
