"""The AsyncAPI 3.0 document of all events."""

from inspect import cleandoc
from typing import Any

from dev.event_docs.catalog import (
    CLOUD_EVENT_HEADERS,
    DEAD_LETTER_HEADERS,
    EVENTS,
    TRACE_HEADERS,
    Documented,
)
from models import events

PARTITIONS = 3
_SCHEMAS = "#/components/schemas/{model}"

_DESCRIPTION = """\
What the cart service tells others about carts, and what it acts on. The value of a message is JSON,
its key the cart's id, which keeps the events of a cart in order; the headers are those of
CloudEvents 1.0 in binary mode. Delivery is at least once: `eventId` is the same on every delivery
of an event, and `version` is one more with each change of a cart. Where the service traces, the
header `traceparent` names the trace of the change, however late its event was sent. New fields may
come at any time; none goes, and none changes its type."""

DEAD_LETTER = """\
A message that can never have its effect, as it was received: key, value and headers. `cart dlq`
lists, replays and drops them; what was replayed or dropped is noted in the topic by a message
without a value, whose header `dlq-resolves` names the letter."""


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
        "channels": {
            **{event.topic: _channel(event.topic, event.name) for event in EVENTS},
            events.DEAD_LETTERS: _channel(events.DEAD_LETTERS, "DeadLetter"),
        },
        "operations": {
            **{
                f"{event.action}{event.name}": _operation(
                    event.action, event.topic, event.name, summary(event)
                )
                for event in EVENTS
            },
            "sendDeadLetter": _operation("send", events.DEAD_LETTERS, "DeadLetter", DEAD_LETTER),
        },
        "components": {
            "messages": {
                **{event.name: _message(event) for event in EVENTS},
                "DeadLetter": {
                    "name": events.DEAD_LETTERS,
                    "title": "DeadLetter",
                    "contentType": "application/octet-stream",
                    "payload": {"description": "The bytes of the message."},
                    "headers": {"$ref": _SCHEMAS.format(model="DeadLetterHeaders")},
                },
            },
            "schemas": _schemas(),
        },
    }


def summary(event: Documented) -> str:
    """What the model says of itself."""
    return cleandoc(event.model.__doc__ or "")


def _channel(topic: str, message: str) -> dict[str, Any]:
    return {
        "address": topic,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "servers": [{"$ref": "#/servers/kafka"}],
        "bindings": {"kafka": {"topic": topic, "partitions": PARTITIONS}},
    }


def _operation(action: str, topic: str, message: str, text: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "summary": text,
        "messages": [{"$ref": f"#/channels/{topic}/messages/{message}"}],
    }


def _message(event: Documented) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": event.topic,
        "title": event.name,
        "summary": summary(event),
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
        "CloudEventHeaders": _headers(
            CLOUD_EVENT_HEADERS,
            "CloudEvents 1.0, Kafka protocol binding, binary mode.",
            optional=TRACE_HEADERS,
        ),
        "DeadLetterHeaders": _headers(
            DEAD_LETTER_HEADERS, "Beside the headers of the message itself."
        ),
    }
    for event in EVENTS:
        mode: Any = "serialization" if event.action == "send" else "validation"
        schema = event.model.model_json_schema(mode=mode, ref_template=_SCHEMAS)
        schemas |= schema.pop("$defs", {})
        schemas[event.name] = schema
    return schemas


def _headers(
    described: dict[str, str], text: str, optional: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "type": "object",
        "description": text,
        "properties": {
            name: {"type": "string", "description": what}
            for name, what in (described | (optional or {})).items()
        },
        "required": list(described),
    }
