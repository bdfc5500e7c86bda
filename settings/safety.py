"""What is refused outside of development: connections that anyone on the network can read or use.

`weaknesses` decides what is insecure. With `ENVIRONMENT=staging` or `production` each one stops the
start, unless `ALLOW_INSECURE_<SYSTEM>` allows it for that system. Connections within this machine
are exempt. docs/deploy.md has the table.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from settings.auth import SAMPLE_JWT_SECRET, JwtAlgorithm
from settings.base import is_loopback
from settings.guests import GuestSettings
from settings.inventory import InventorySettings
from settings.kafka import KafkaSettings
from settings.mongodb import MongodbSettings
from settings.products import ProductSettings
from settings.redis import RedisSettings
from settings.temporal import TemporalSettings, temporal_address


@dataclass(frozen=True)
class Weakness:
    """An insecure connection; `allowed_by` is the field of the setting that allows it."""

    setting: str
    problem: str
    allowed_by: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.problem}"


class SafetySettings(
    GuestSettings,
    MongodbSettings,
    RedisSettings,
    KafkaSettings,
    InventorySettings,
    ProductSettings,
    TemporalSettings,
):
    """The exceptions that an operator makes on purpose."""

    allow_insecure_jwks: bool = False
    allow_insecure_mongodb: bool = False
    allow_insecure_redis: bool = False
    allow_insecure_kafka: bool = False
    allow_insecure_inventory: bool = False
    allow_insecure_product_service: bool = False
    allow_insecure_temporal: bool = False

    @property
    def has_sample_secret(self) -> bool:
        """Whether tokens are verified with the secret that everyone can read in this repository."""
        is_sample = self.jwt_secret.get_secret_value() == SAMPLE_JWT_SECRET
        return is_sample and self.jwt_algorithm is JwtAlgorithm.HS256

    def broken_rules(self) -> Iterator[str]:
        if self.has_sample_secret:
            if self.environment.is_deployed:
                yield f"JWT_SECRET: must not be the sample when ENVIRONMENT={self.environment}"
            elif not is_loopback(self.host):
                yield (
                    f"JWT_SECRET: must not be the sample when HOST={self.host}: anyone who "
                    "reaches it could sign tokens. Set 32 random bytes or more, or HOST=127.0.0.1"
                )
        if self.environment.is_deployed:
            yield from self._unreadable_temporal()
            for weakness in self.weaknesses():
                if not getattr(self, weakness.allowed_by):
                    yield (
                        f"{weakness}, which ENVIRONMENT={self.environment} does not allow; "
                        f"{weakness.allowed_by.upper()}=true would"
                    )
        yield from super().broken_rules()

    def weaknesses(self) -> Iterator[Weakness]:
        """All insecure connections, allowed or not."""
        yield from self._jwks()
        yield from self._mongodb()
        yield from self._redis()
        yield from self._kafka()
        if _is_plain_http(self.inventory):
            problem = "is http: calls and their credentials are sent in clear text"
            yield Weakness("INVENTORY_SERVICE_URL", problem, "allow_insecure_inventory")
        if _is_plain_http(self.product_service):
            problem = "is http: anyone on the network path can change the prices"
            yield Weakness("PRODUCT_SERVICE_URL", problem, "allow_insecure_product_service")
        yield from self._temporal()

    def _jwks(self) -> Iterator[Weakness]:
        uses_it = self.jwt_algorithm is not JwtAlgorithm.HS256 and self.jwt_jwks_url is not None
        if uses_it and _is_plain_http(str(self.jwt_jwks_url)):
            problem = "is http: anyone on the network path can replace the keys and sign tokens"
            yield Weakness("JWT_JWKS_URL", problem, "allow_insecure_jwks")

    def _mongodb(self) -> Iterator[Weakness]:
        if self.mongodb_uri is None:
            return
        uri = self.mongodb_uri.get_secret_value()
        login, _, hosts = (
            uri.partition("://")[2].partition("?")[0].partition("/")[0].rpartition("@")
        )
        mechanism = self.mongodb_options.get("authmechanism", "").upper()
        has_login = ":" in login or mechanism.startswith("MONGODB-") or mechanism == "GSSAPI"
        if not has_login and not _are_local(hosts.split(",")):
            problem = "has neither a password nor a client certificate (authMechanism=MONGODB-X509)"
            yield Weakness("MONGODB_URI", problem, "allow_insecure_mongodb")

    def _redis(self) -> Iterator[Weakness]:
        parts = urlsplit(self.redis.get_secret_value())
        if parts.scheme == "unix" or is_loopback(parts.hostname or "localhost"):
            return
        name = "REDIS_URL" if self.redis_url else "REDIS_HOST"
        has_login = parts.password or {"ssl_certfile", "password"} & self.redis_options.keys()
        if not has_login:
            problem = "has neither a password nor a client certificate (ssl_certfile=…)"
            yield Weakness(name, problem, "allow_insecure_redis")
        if parts.scheme != "rediss":
            how = "rediss://" if self.redis_url else "REDIS_TLS=true"
            problem = f"is not encrypted ({how}): carts and the password are sent in clear text"
            yield Weakness(name, problem, "allow_insecure_redis")

    def _kafka(self) -> Iterator[Weakness]:
        if not self.kafka_encrypted and not _are_local(self.kafka):
            problem = f"is {self.kafka_security_protocol}, which is not encrypted"
            yield Weakness("KAFKA_SECURITY_PROTOCOL", problem, "allow_insecure_kafka")
        url = str(self.kafka_oauth_token_url or "")
        if self.kafka_oauth and _is_plain_http(url):
            problem = "is http: the client's secret is sent in clear text"
            yield Weakness("KAFKA_OAUTH_TOKEN_URL", problem, "allow_insecure_kafka")

    def _temporal(self) -> Iterator[Weakness]:
        try:
            found = temporal_address(self.temporal_port)
        except (RuntimeError, OSError, ValueError):
            return  # another rule reports it
        if not found.is_encrypted and not _are_local([found.address]):
            problem = "has no TLS (TEMPORAL_TLS=true, or an API key)"
            yield Weakness("TEMPORAL_ADDRESS", problem, "allow_insecure_temporal")

    def _unreadable_temporal(self) -> Iterator[str]:
        try:
            temporal_address(self.temporal_port)
        except (RuntimeError, OSError, ValueError) as error:
            yield f"TEMPORAL_…: its configuration cannot be read: {error}"


def _is_plain_http(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _are_local(addresses: Iterable[str]) -> bool:
    """Whether all addresses, with or without a port, are on this machine: also sockets."""
    return all(
        address.endswith(".sock") or is_loopback(urlsplit(f"//{address}").hostname or "")
        for address in addresses
    )
