"""Kafka: how every client of this service connects, and the names of the topics."""

from typing import Any

from adapters.kafka.oauth import tokens_of
from models.events import TOPICS
from settings import Settings


def connection_options(settings: Settings) -> dict[str, Any]:
    """The connection options of all Kafka clients of this service."""
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.kafka),
        "client_id": settings.kafka_client_id,
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_sasl:
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
    if settings.kafka_oauth:
        options["sasl_oauth_token_provider"] = tokens_of(settings)
    elif settings.kafka_sasl:
        password = settings.kafka_sasl_password
        options |= {
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }
    if settings.kafka_encrypted:
        options["ssl_context"] = settings.kafka_tls
    return options


def topics_of(settings: Settings) -> list[str]:
    """The names in Kafka of all topics of the service."""
    combined = settings.kafka_combined_topic
    return [settings.kafka_topic(topic) for topic in (*TOPICS, *([combined] if combined else []))]
