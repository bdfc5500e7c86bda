"""Parsing of consumed events: the documented examples, validation, and the event id."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from models.errors import EventUnusable
from models.events import CART_ITEM_OUT_OF_STOCK, INVENTORY_BACK_IN_STOCK, ORDER_COMPLETED
from models.incoming import (
    MAX_EVENT_BYTES,
    ConsumedMessage,
    OrderCompleted,
    OutOfStock,
    event_id,
    event_time,
    read_event,
)

AN_ORDER = {
    "cartId": "507f1f77bcf86cd799439013",
    "userId": "507f1f77bcf86cd799439014",
    "storeId": "507f1f77bcf86cd799439015",
    "orderId": "507f1f77bcf86cd799439016",
}
OUT_OF_STOCK = {
    "cartId": "507f1f77bcf86cd799439013",
    "unavailableItems": [{"productId": "507f1f77bcf86cd799439011", "reason": "Out of stock"}],
    "sagaId": "inventory-check-123",
}
SENT = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
LATER = round(SENT.timestamp() * 1000) + 1


def message(value: Any, topic: str = ORDER_COMPLETED, **changed: Any) -> ConsumedMessage:
    fields: dict[str, Any] = {
        "topic": topic,
        "partition": 0,
        "offset": 17,
        "key": b"key",
        "value": value if isinstance(value, bytes | None) else json.dumps(value).encode(),
        "headers": (),
        "timestamp": round(SENT.timestamp() * 1000),
    }
    return ConsumedMessage(**(fields | changed))


def test_the_documented_order_is_parsed() -> None:
    event = read_event(message(AN_ORDER))
    assert isinstance(event, OrderCompleted)
    assert (event.order_id, event.items, event.cart_version) == (AN_ORDER["orderId"], None, None)


def test_the_documented_out_of_stock_event_is_parsed() -> None:
    event = read_event(message(OUT_OF_STOCK, CART_ITEM_OUT_OF_STOCK))
    assert isinstance(event, OutOfStock)
    assert [(item.product_id, item.reason) for item in event.items] == [
        ("507f1f77bcf86cd799439011", "Out of stock")
    ]


def test_an_out_of_stock_event_of_one_product_is_parsed() -> None:
    event = read_event(message({"productId": "lamp", "reason": "Recalled"}, CART_ITEM_OUT_OF_STOCK))
    assert isinstance(event, OutOfStock)
    assert [(item.product_id, item.reason) for item in event.items] == [("lamp", "Recalled")]


def test_unknown_fields_are_ignored() -> None:
    assert read_event(message(AN_ORDER | {"loyaltyPoints": 7})) == read_event(message(AN_ORDER))


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"cartId": "no-object-id"}, "cartId: String should match"),
        ({"userId": None}, "userId: Input should be a valid string"),
        ({"orderId": "x" * 65}, "orderId: String should match"),
        ({"items": []}, "items: Tuple should have at least 1 item"),
        ({"items": [{"productId": "lamp", "quantity": 0}]}, "items.0.quantity: Input should be"),
        ({"cartVersion": 0}, "cartVersion: Input should be greater"),
    ],
)
def test_an_invalid_field_is_named_with_its_rule(changed: dict[str, Any], detail: str) -> None:
    with pytest.raises(EventUnusable, match="invalid") as raised:
        read_event(message(AN_ORDER | changed))
    assert raised.value.detail.startswith(detail)


@pytest.mark.parametrize("value", [None, b"", b"{", b"\xff", b"nothing"])
def test_a_value_that_is_not_json_is_malformed(value: bytes | None) -> None:
    with pytest.raises(EventUnusable, match="malformed: no JSON"):
        read_event(message(value))


@pytest.mark.parametrize(
    "changed",
    [
        {"value": b" " * MAX_EVENT_BYTES},
        {"key": b"k" * MAX_EVENT_BYTES},
        {"headers": (("h", b"x" * MAX_EVENT_BYTES),)},
    ],
)
def test_an_oversized_message_is_refused_before_it_is_parsed(changed: dict[str, Any]) -> None:
    with pytest.raises(EventUnusable, match="too_large"):
        read_event(message(**{"value": AN_ORDER, **changed}))


@pytest.mark.parametrize(
    "body", [{}, {"cartId": AN_ORDER["cartId"]}, OUT_OF_STOCK | {"productId": "lamp"}]
)
def test_an_out_of_stock_event_with_both_or_no_kind_of_product_is_refused(
    body: dict[str, Any],
) -> None:
    with pytest.raises(EventUnusable, match="either unavailableItems or productId"):
        read_event(message(body, CART_ITEM_OUT_OF_STOCK))


def named(one: ConsumedMessage) -> str:
    return event_id(one, read_event(one))


def test_the_id_of_an_order_event_is_the_order_id() -> None:
    again = message(AN_ORDER, headers=(("ce_id", b"another"),), timestamp=1, offset=3)
    assert named(message(AN_ORDER)) == named(again) == AN_ORDER["orderId"]


def test_the_id_of_another_event_is_given_by_its_sender() -> None:
    body = OUT_OF_STOCK | {"eventId": "event-1"}
    assert named(message(body, CART_ITEM_OUT_OF_STOCK)) == "event-1"
    header = (("ce_id", b"event-2"),)
    assert named(message(body, CART_ITEM_OUT_OF_STOCK, headers=header)) == "event-2"


def test_the_id_of_an_event_without_one_comes_from_its_content_not_its_offset() -> None:
    def known(**changed: Any) -> str:
        return named(message(changed.pop("value", OUT_OF_STOCK), CART_ITEM_OUT_OF_STOCK, **changed))

    assert known(offset=1, partition=2) == known(offset=5)
    assert (
        len({known(), known(timestamp=LATER), known(key=b"k"), known(value={"productId": "x"})})
        == 4
    )


@pytest.mark.parametrize(
    ("headers", "stated", "expected"),
    [
        ((), None, SENT),
        ((), "2026-01-27T10:29:00Z", datetime(2026, 1, 27, 10, 29, tzinfo=UTC)),
        (
            (("ce_time", b"2026-01-27T10:28:00Z"),),
            "2026-01-27T10:29:00Z",
            datetime(2026, 1, 27, 10, 28, tzinfo=UTC),
        ),
        ((("ce_time", b"yesterday"),), None, SENT),
        ((), "2099-01-01T00:00:00Z", SENT),
        ((), "1999-12-31T00:00:00Z", SENT),
        (
            (("ce_time", b"1970-01-01T00:00:00Z"),),
            "2026-01-27T10:29:00Z",
            datetime(2026, 1, 27, 10, 29, tzinfo=UTC),
        ),
    ],
)
def test_the_time_of_an_event_is_given_by_its_sender_and_not_after_it_was_sent(
    headers: tuple[tuple[str, bytes], ...], stated: str | None, expected: datetime
) -> None:
    body = {"productId": "lamp"} | ({"timestamp": stated} if stated else {})
    one = message(body, INVENTORY_BACK_IN_STOCK, headers=headers)
    assert event_time(one, read_event(one)) == expected


def structured(data: Any, **attributes: Any) -> dict[str, Any]:
    """An event as a CloudEvent in structured mode (CloudEvents 1.0, JSON format)."""
    about = {"specversion": "1.0", "type": "any", "source": "/erp", "id": "event-3"}
    return about | {"datacontenttype": "application/json", "data": data} | attributes


def test_a_cloud_event_in_structured_mode_is_the_event_in_its_data() -> None:
    one = message(structured(AN_ORDER))
    assert read_event(one) == read_event(message(AN_ORDER | {"eventId": "event-3"}))
    assert named(one) == AN_ORDER["orderId"]
    stock = message(
        structured(OUT_OF_STOCK | {"eventId": "event-1"}, time="2026-01-27T10:28:00Z"),
        CART_ITEM_OUT_OF_STOCK,
    )
    assert named(stock) == "event-3"
    assert event_time(stock, read_event(stock)) == datetime(2026, 1, 27, 10, 28, tzinfo=UTC)


@pytest.mark.parametrize(
    "attributes", [{"time": "yesterday"}, {"time": None}, {"time": [7]}, {"time": "1969-01-01"}]
)
def test_an_envelope_without_a_usable_time_is_as_old_as_its_message(
    attributes: dict[str, Any],
) -> None:
    one = message(structured({"productId": "lamp"}, **attributes), INVENTORY_BACK_IN_STOCK)
    assert event_time(one, read_event(one)) == SENT


@pytest.mark.parametrize(
    "value",
    [
        structured("text"),
        structured(None),
        structured([AN_ORDER]),
        {"specversion": "1.0"},
        [{"specversion": "1.0", "data": AN_ORDER}],
        b'{"specversion": ',
        b"[" * 100_000 + b"specversion",
    ],
)
def test_an_envelope_without_an_event_is_unusable(value: Any) -> None:
    with pytest.raises(EventUnusable):
        read_event(message(value))


def test_a_byte_order_mark_is_ignored() -> None:
    marked = message(b"\xef\xbb\xbf" + json.dumps(AN_ORDER).encode())
    assert read_event(marked) == read_event(message(AN_ORDER))


@pytest.mark.parametrize("timestamp", [-1, 0, 1, -(2**63), 2**63 - 1, 946_684_799_999])
def test_an_event_without_a_usable_time_happened_when_its_sender_says_or_now(
    timestamp: int,
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    lamp = {"productId": "lamp"}
    without = message(lamp, INVENTORY_BACK_IN_STOCK, timestamp=timestamp)
    assert before <= event_time(without, read_event(without)) <= datetime.now(UTC)
    stated = message(
        lamp | {"timestamp": "2026-01-27T10:29:00Z"}, INVENTORY_BACK_IN_STOCK, timestamp=timestamp
    )
    expected = datetime(2026, 1, 27, 10, 29, tzinfo=UTC)
    assert event_time(stated, read_event(stated)) == expected


def test_equal_messages_without_a_time_are_different_events() -> None:
    one, again = (
        message(OUT_OF_STOCK, CART_ITEM_OUT_OF_STOCK, timestamp=-1, offset=offset)
        for offset in (1, 1)
    )
    other = message(OUT_OF_STOCK, CART_ITEM_OUT_OF_STOCK, timestamp=-1, offset=2)
    assert named(one) == named(again) != named(other)
