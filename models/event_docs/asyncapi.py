"""The AsyncAPI 3.0 document of all events."""

from typing import Any

from models import events
from models.event_docs.catalog import EVENTS, Documented

PARTITIONS = 3
_SCHEMAS = "#/components/schemas/{model}"

_DESCRIPTION = """\
What the cart service tells others about carts, and what it acts on. The value of a message is JSON,
its key the cart's id, which keeps the events of a cart in order; the headers are those of
CloudEvents 1.0 in binary mode. Delivery is at least once: `eventId` is the same on every delivery
of an event, and `version` is one more with each change of a cart. New fields may come at any time;
none goes, and none changes its type."""

_CLOUD_EVENT = {
    "ce_specversion": "Version of CloudEvents.",
    "ce_id": "The event's id, `eventId`.",
    "ce_type": "The event's name, which is the topic's.",
    "ce_source": "Who says it.",
    "ce_time": "The event's `timestamp`.",
    "content-type": "Of the value.",
}


def document() -> dict[str, Any]:
    """The document, as plain values."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Cart Service events",
            "version": "1.0.0",
            "description": _DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "The local stack's broker; elsewhere what `KAFKA_BROKERS` says.",
            }
        },
        "channels": {event.topic: _channel(event) for event in EVENTS},
        "operations": {
            f"{event.action}{event.name}": {
                "action": event.action,
                "channel": {"$ref": f"#/channels/{event.topic}"},
                "summary": event.model.__doc__,
                "messages": [{"$ref": f"#/channels/{event.topic}/messages/{event.name}"}],
            }
            for event in EVENTS
        },
        "components": {
            "messages": {event.name: _message(event) for event in EVENTS},
            "schemas": _schemas(),
        },
    }


def _channel(event: Documented) -> dict[str, Any]:
    return {
        "address": event.topic,
        "messages": {event.name: {"$ref": f"#/components/messages/{event.name}"}},
        "servers": [{"$ref": "#/servers/kafka"}],
        "bindings": {"kafka": {"topic": event.topic, "partitions": PARTITIONS}},
    }


def _message(event: Documented) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": event.topic,
        "title": event.name,
        "summary": event.model.__doc__,
        "contentType": "application/json",
        "payload": {"$ref": _SCHEMAS.format(model=event.name)},
        "examples": [{"name": event.name, "payload": event.example}],
    }
    if event.action == "send":
        message["headers"] = {"$ref": _SCHEMAS.format(model="CloudEventHeaders")}
        message["examples"][0]["headers"] = example_headers(event)
        message["bindings"] = {
            "kafka": {"key": {"type": "string", "description": "The cart's id."}}
        }
    return message


def example_headers(event: Documented) -> dict[str, str]:
    """What an example's headers are; its key is the example's cart."""
    published = event.model.model_validate(event.example)
    assert isinstance(published, events.CartEvent)  # noqa: S101 (only those have headers)
    effect = events.event_effect(event.topic, published)
    return {name: value.decode() for name, value in events.cloud_event_headers(effect)}


def _schemas() -> dict[str, Any]:
    schemas: dict[str, Any] = {
        "CloudEventHeaders": {
            "type": "object",
            "description": "CloudEvents 1.0, Kafka protocol binding, binary mode.",
            "properties": {
                name: {"type": "string", "description": text} for name, text in _CLOUD_EVENT.items()
            },
            "required": list(_CLOUD_EVENT),
        }
    }
    for event in EVENTS:
        mode: Any = "serialization" if event.action == "send" else "validation"
        schema = event.model.model_json_schema(mode=mode, ref_template=_SCHEMAS)
        schemas |= schema.pop("$defs", {})
        schemas[event.name] = schema
    return schemas
