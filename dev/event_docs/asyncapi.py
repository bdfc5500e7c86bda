"""The AsyncAPI 3.0 document of all events."""

from inspect import cleandoc
from typing import Any

from dev.event_docs.catalog import (
    CLOUD_EVENT_HEADERS,
    CONSUMED_HEADERS,
    DEAD_LETTER_HEADERS,
    EVENTS,
    TRACE_HEADERS,
    UNDECODED_HEADERS,
    Documented,
)
from dev.event_docs.schemas import schemas_of
from models import events

PARTITIONS = 3
_SCHEMAS = "#/components/schemas/{model}"

_DESCRIPTION = """\
The events that the cart service publishes and consumes. The value of a message is JSON. Its key is
the cart's id, which keeps the events of a cart in order. Its headers are those of CloudEvents 1.0
in binary mode. Delivery is at least once: `eventId` is the same on every delivery of an event, and
`version` increases by one with each change of a cart. Events of different topics have no common
order: a consumer of several topics sorts a cart's events by `version` and drops repeats by
`eventId`; the events of one change share a version. Prices are what clients sent, where
`priceSource` is `client`: compare them before you charge. If tracing is on, the header
`traceparent` identifies the trace of the change, even if the event is sent later. Fields may be
added at any time; they are not removed, and their types do not change.

Events of a cart are in order within a topic. A consumer of several topics gets them in any order:
it sorts by `version` and then `timestamp`, and drops repeats by `eventId` (two events can have the
same version). Where `KAFKA_COMBINED_TOPIC` is set, that topic has all published events, in the
order of each cart; their header `ce_type` is the name of the event. `KAFKA_TOPIC_PREFIX`, where it
is set, stands before the name of every topic."""

DEAD_LETTER = """\
A message that can never take effect, as received: key, value and headers. `cart dlq` lists,
replays and drops them. A message without a value records that a dead letter was replayed or
dropped; its header `dlq-resolves` names the dead letter.

A message that could not be decoded is parked as the broker returned it, up to 256 KiB: a batch or
record of Kafka's format. A header name that is not UTF-8 has escapes (`caf\\xe9`)."""


def document() -> dict[str, Any]:
    """The document, as JSON values."""
    messages = [(event.action, event.topic, event.name, summary(event)) for event in EVENTS]
    messages.append(("send", events.DEAD_LETTERS, "DeadLetter", DEAD_LETTER))
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
                "description": "The local stack's broker. Other deployments use `KAFKA_BROKERS`.",
            }
        },
        "channels": {
            topic: {
                "address": topic,
                "messages": {name: {"$ref": f"#/components/messages/{name}"}},
                "servers": [{"$ref": "#/servers/kafka"}],
                "bindings": {"kafka": {"topic": topic, "partitions": PARTITIONS}},
            }
            for _, topic, name, _ in messages
        },
        "operations": {
            f"{action}{name}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{topic}"},
                "summary": text,
                "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"}],
            }
            for action, topic, name, text in messages
        },
        "components": {
            "messages": {
                **{event.name: _message(event) for event in EVENTS},
                "DeadLetter": {
                    "name": events.DEAD_LETTERS,
                    "title": "DeadLetter",
                    "contentType": "application/octet-stream",
                    "payload": {"$ref": _SCHEMAS.format(model="DeadLetterBytes")},
                    "headers": {"$ref": _SCHEMAS.format(model="DeadLetterHeaders")},
                },
            },
            "schemas": _schemas(),
        },
    }


def inlined(node: Any, document: dict[str, Any]) -> Any:
    """A schema of the document with the targets of its references in their place."""
    if isinstance(node, list):
        return [inlined(one, document) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = document["components"]["schemas"][node["$ref"].rpartition("/")[2]]
        beside = {name: value for name, value in node.items() if name != "$ref"}
        return inlined(target, document) | beside
    return {name: inlined(value, document) for name, value in node.items()}


def summary(event: Documented) -> str:
    """The docstring of the event's model."""
    return cleandoc(event.model.__doc__ or "")


def _message(event: Documented) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": event.topic,
        "title": event.name,
        "summary": summary(event),
        "contentType": "application/json",
        "payload": {"$ref": _SCHEMAS.format(model=event.name)},
        "examples": [{"name": event.name, "payload": event.example}],
    }
    headers = "CloudEventHeaders" if event.action == "send" else "ConsumedHeaders"
    message["headers"] = {"$ref": _SCHEMAS.format(model=headers)}
    if event.action == "send":
        message["examples"][0]["headers"] = example_headers(event)
        message["bindings"] = {
            "kafka": {"key": {"type": "string", "description": "The cart's id."}}
        }
    return message


def example_headers(event: Documented) -> dict[str, str]:
    """The headers of an event's example."""
    published = event.model.model_validate(event.example)
    assert isinstance(published, events.CartEvent)  # noqa: S101 (only those have headers)
    effect = events.event_effect(event.topic, published)
    return {name: value.decode() for name, value in events.cloud_event_headers(effect)}


def _schemas() -> dict[str, Any]:
    binding = "CloudEvents 1.0, Kafka protocol binding, binary mode."
    consumed = "None is required. Those of CloudEvents are used before the fields of the value."
    added = "Added to the headers of the original message."
    schemas: dict[str, Any] = {
        "CloudEventHeaders": _headers(binding, CLOUD_EVENT_HEADERS, optional=TRACE_HEADERS),
        "ConsumedHeaders": _headers(consumed, {}, optional=CONSUMED_HEADERS),
        "DeadLetterBytes": {
            "type": ["string", "null"],
            "format": "binary",
            "description": "The bytes of the message.",
        },
        "DeadLetterHeaders": _headers(added, DEAD_LETTER_HEADERS, optional=UNDECODED_HEADERS),
    }
    for event in EVENTS:
        schemas |= schemas_of(event)
    return schemas


def _headers(text: str, required: dict[str, str], optional: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": text,
        "properties": {
            name: {"type": "string", "description": what}
            for name, what in (required | optional).items()
        },
        "required": list(required),
    }
