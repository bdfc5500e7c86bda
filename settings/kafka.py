"""Settings of Kafka."""

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import SecretStr, field_validator
from pydantic_settings import NoDecode

from settings.base import LOCALHOST, Port, SettingsGroup, comma_separated

_MAX_PORT = 65535


class KafkaSettings(SettingsGroup):
    """The brokers that events are published to and consumed from."""

    kafka_brokers: Annotated[tuple[str, ...] | None, NoDecode] = None
    kafka_port: Port = 9092
    kafka_client_id: str = "cart-service"
    kafka_group_id: str = "cart-service-group"
    kafka_idempotence: bool | None = None
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None

    @field_validator("kafka_brokers", mode="before")
    @classmethod
    def _split_brokers(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        brokers = comma_separated(value)
        for broker in brokers:
            host, _, port = broker.rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) <= _MAX_PORT:
                raise ValueError("must be host:port, or several separated by commas")
        return brokers or None

    def broken_rules(self) -> Iterator[str]:
        yield from self.missing_in_production("KAFKA_BROKERS", self.kafka_brokers)
        yield from super().broken_rules()

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
