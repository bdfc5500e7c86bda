"""Settings of Kafka."""

import ssl
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AnyHttpUrl, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from settings.base import LOCALHOST, Port, SettingsGroup, comma_separated
from settings.tls import CaFile, add_certificate, trusting

_MAX_PORT = 65535
_OAUTH = "OAUTHBEARER"
# Kafka's own limit for a topic is 249 characters of these; the longest of ours has 27.
_TOPIC = r"^[a-zA-Z0-9._-]{1,200}$"


class KafkaSettings(SettingsGroup):
    """The brokers that events are published to and consumed from."""

    kafka_brokers: Annotated[tuple[str, ...] | None, NoDecode] = None
    kafka_port: Port = 9092
    kafka_client_id: str = "cart-service"
    kafka_group_id: str = "cart-service-group"
    kafka_idempotence: bool | None = None

    # Topics
    kafka_topic_prefix: str = Field("", pattern=r"^[a-zA-Z0-9._-]{0,200}$")
    kafka_combined_topic: str | None = Field(None, pattern=_TOPIC)

    # Security
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = (
        "PLAIN"
    )
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_oauth_token_url: AnyHttpUrl | None = None
    kafka_oauth_client_id: str | None = None
    kafka_oauth_client_secret: SecretStr | None = None
    kafka_oauth_scope: str | None = None
    kafka_ssl_ca_file: CaFile | None = None
    kafka_ssl_cert_file: Path | None = None
    kafka_ssl_key_file: Path | None = None

    @field_validator("kafka_brokers", mode="before")
    @classmethod
    def _split_brokers(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        brokers = comma_separated(value)
        for broker in brokers:
            host, _, port = broker.rpartition(":")
            # Not a listener of a broker, such as PLAINTEXT://host:9092.
            if not host or "/" in host or not port.isdigit() or not 0 < int(port) <= _MAX_PORT:
                raise ValueError("must be host:port, or several separated by commas")
        return brokers or None

    def broken_rules(self) -> Iterator[str]:
        if self.kafka_sasl:
            yield from self._missing_credentials()
        if not self.kafka_encrypted:
            for name in ("kafka_ssl_ca_file", "kafka_ssl_cert_file", "kafka_ssl_key_file"):
                if getattr(self, name) is not None:
                    yield f"{name.upper()}: needs KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL"
        elif self.kafka_ssl_key_file and not self.kafka_ssl_cert_file:
            yield "KAFKA_SSL_CERT_FILE: must be set with KAFKA_SSL_KEY_FILE"
        else:
            try:
                _ = self.kafka_tls
            except ValueError as error:
                yield str(error)
        yield from self.missing_in_production("KAFKA_BROKERS", self.kafka_brokers)
        yield from super().broken_rules()

    def _missing_credentials(self) -> Iterator[str]:
        names = ["kafka_sasl_username", "kafka_sasl_password"]
        if self.kafka_sasl_mechanism == _OAUTH:
            names = [f"kafka_oauth_{part}" for part in ("token_url", "client_id", "client_secret")]
        for name in names:
            if getattr(self, name) is None:
                yield (
                    f"{name.upper()}: must be set when KAFKA_SECURITY_PROTOCOL="
                    f"{self.kafka_security_protocol} and KAFKA_SASL_MECHANISM="
                    f"{self.kafka_sasl_mechanism}"
                )

    @cached_property
    def kafka(self) -> tuple[str, ...]:
        """The Kafka brokers to connect to, each `host:port`."""
        return self.kafka_brokers or (f"{LOCALHOST}:{self.kafka_port}",)

    @cached_property
    def kafka_idempotent_producer(self) -> bool:
        """On by default, except on the local stack, whose broker rejects idempotent producers."""
        if self.kafka_idempotence is None:
            return self.kafka_brokers is not None
        return self.kafka_idempotence

    @property
    def kafka_sasl(self) -> bool:
        """Whether clients log in by SASL."""
        return self.kafka_security_protocol.startswith("SASL")

    @property
    def kafka_encrypted(self) -> bool:
        """Whether connections use TLS."""
        return self.kafka_security_protocol.endswith("SSL")

    @property
    def kafka_oauth(self) -> bool:
        """Whether clients log in with a token of an issuer."""
        return self.kafka_sasl and self.kafka_sasl_mechanism == _OAUTH

    @cached_property
    def kafka_tls(self) -> ssl.SSLContext:
        """TLS to the brokers, with the client's certificate if there is one.

        Raises `ValueError` for files that cannot be used.
        """
        context = trusting(self.kafka_ssl_ca_file)
        if self.kafka_ssl_cert_file is not None:
            add_certificate(
                context,
                self.kafka_ssl_cert_file,
                self.kafka_ssl_key_file,
                names="KAFKA_SSL_CERT_FILE, KAFKA_SSL_KEY_FILE",
            )
        return context

    def kafka_topic(self, topic: str) -> str:
        """The name that a topic has in Kafka."""
        return f"{self.kafka_topic_prefix}{topic}"

    def without_prefix(self, topic: str) -> str:
        """The name that a topic of Kafka has in the service."""
        return topic.removeprefix(self.kafka_topic_prefix)
