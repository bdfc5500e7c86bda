"""The event documents are current and valid, and refuse changes that break consumers."""

import copy
import inspect
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft7Validator, validator_for

from adapters.kafka.dead_letters import PREFIX, DeadLetters
from dev.event_docs import asyncapi
from dev.event_docs.__main__ import main
from dev.event_docs.catalog import DEAD_LETTER_HEADERS, EVENTS, Documented
from dev.event_docs.compatibility import breaking_changes
from dev.event_docs.page import page
from models import events
from models.abandonment import after_users_change
from models.cart import CartContent
from models.cart_facts import guest_facts
from models.effects import EventEffect
from models.limits import Policy
from models.operations import (
    AbandonCart,
    AddItem,
    ApplyOrder,
    CancelCheckout,
    CartOperation,
    ChangeContext,
    Checkout,
    ClearCart,
    LapseHolds,
    MergeCart,
    RemoveItem,
    UpdateQuantity,
)
from models.operations.base import GuestCart
from models.orders import Ordered, OrderedUnits, OrderRequest
from models.saga import SagaRun
from tests.support.actors import SHOPPER

ASYNCAPI_SCHEMA = Path(__file__).with_name("asyncapi") / "3.0.0.json"
WHAT_TO_DO = "run `make docs`, look at what has changed, and commit it"
each_event = pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.topic)


@pytest.fixture
def document() -> dict[str, Any]:
    return asyncapi.document()


def validate(event: Documented, value: dict[str, Any]) -> None:
    """Validates an event with its schema in the document (draft 7, as AsyncAPI uses)."""
    schemas = asyncapi.document()["components"]
    schema = {"$ref": f"#/components/schemas/{event.name}", "components": schemas}
    Draft7Validator(schema).validate(value)


def test_the_checked_in_documents_are_current(project_root: Path, document: Any) -> None:
    assert json.loads((project_root / "docs/asyncapi.json").read_text()) == document, WHAT_TO_DO
    assert (project_root / "docs/events.md").read_text() == page(), WHAT_TO_DO


def test_the_document_is_asyncapi_3(document: Any) -> None:
    """Checked with the schema of the AsyncAPI initiative."""
    schema = validator_for(json.loads(ASYNCAPI_SCHEMA.read_text()))
    errors = [error.message for error in schema.iter_errors(document)]
    assert errors == []
    without = copy.deepcopy(document)
    del without["info"]["version"]
    assert not schema.is_valid(without)


def test_every_topic_is_documented(document: Any) -> None:
    assert {channel["address"] for channel in document["channels"].values()} == {*events.TOPICS}


@each_event
def test_each_example_conforms_to_its_schema(event: Documented) -> None:
    validate(event, event.example)
    event.model.model_validate(event.example)
    for name in event.model.model_json_schema()["properties"].values():
        assert name.get("description"), "each field says what it is"


CART_ID = "507f1f77bcf86cd799439013"
COMMON: dict[str, Any] = {
    "store_id": "store-1",
    "user_id": "user-1",
    "operation_id": "op",
    "attempt_id": "attempt",
    "fingerprint": "",
    "actor": SHOPPER,
}
ORDERED = Ordered(units=(OrderedUnits(product_id="lamp", ordered=1),), cart_version=1)
OPERATIONS: dict[str, CartOperation] = {
    events.CART_ITEM_ADDED: AddItem(
        **COMMON,
        product_id="lamp",
        product_title="Lamp",
        product_price=Decimal("1.50"),
        quantity=1,
        policy=Policy(hold_seconds=600),
    ),
    events.CART_ITEM_UPDATED: UpdateQuantity(
        **COMMON, cart_id=CART_ID, product_id="lamp", quantity=3
    ),
    events.CART_ITEM_REMOVED: RemoveItem(**COMMON, cart_id=CART_ID, product_id="lamp"),
    events.CART_CLEARED: ClearCart(**COMMON, reason="expired"),
    events.CART_HOLD_EXPIRED: LapseHolds(
        **COMMON, cart_id=CART_ID, ended_by=datetime(2026, 2, 1, tzinfo=UTC)
    ),
    events.CART_CHECKED_OUT: Checkout(**COMMON),
    events.CART_CHECKOUT_EXPIRED: CancelCheckout(**COMMON, reason="user"),
    events.CART_RECOVERED: RemoveItem(**COMMON, cart_id=CART_ID, product_id="lamp"),
    events.CART_ABANDONED: AbandonCart(
        **COMMON,
        cart_id=CART_ID,
        at=datetime(2026, 2, 1, tzinfo=UTC),
        updated_at=datetime(2026, 1, 27, 10, 30, tzinfo=UTC),
    ),
    events.CART_ORDER_APPLIED: ApplyOrder(
        **COMMON, request=OrderRequest(order_id="order-1", cart_id=CART_ID), ordered=ORDERED
    ),
}


_SAGA = SagaRun(
    **{
        name: COMMON[name]
        for name in ("store_id", "user_id", "operation_id", "fingerprint", "actor")
    },
    run_id="0f8fad5b-d9cb-469f-a165-70867728950e",
    record_id="op-1769509800000",
    saga_id="cart-1-user-1-lamp",
    started_at=datetime.fromisoformat("2026-01-27T10:30:00+00:00"),
    operation="an operation",
)


def changed_by(
    operation: CartOperation, cart: CartContent | None
) -> tuple[CartContent | None, dict[str, EventEffect]]:
    """The cart after an operation, and its events by topic."""
    context = ChangeContext(_SAGA, CART_ID, publish=True)
    change = operation.apply(cart, context)
    assert change is not None
    change = after_users_change(cart, change, operation.policy, context)
    found = [effect for effect in change.effects if isinstance(effect, EventEffect)]
    return change.cart, {event.topic: event for event in found}


def test_the_end_of_a_guests_cart_is_what_its_schema_says() -> None:
    guest, _ = changed_by(OPERATIONS[events.CART_ITEM_ADDED], None)
    assert guest is not None
    merge = MergeCart(**COMMON, guest_id="guest:1", guest_operation_id="2" * 32)
    theirs = GuestCart(CART_ID, guest, guest_facts(CART_ID, guest, None))
    change = merge.apply(None, ChangeContext(_SAGA, CART_ID, publish=True, guest=theirs))
    assert change is not None
    assert change.ended is not None
    [effect] = [one for one in change.ended.effects if isinstance(one, EventEffect)]
    [event] = [event for event in EVENTS if event.topic == events.CART_MERGED]
    validate(event, json.loads(effect.value))
    assert json.loads(effect.value).keys() == event.example.keys()


@pytest.mark.parametrize("topic", OPERATIONS)
def test_what_is_published_is_what_its_schema_says(topic: str) -> None:
    cart, made = changed_by(OPERATIONS[events.CART_ITEM_ADDED], None)
    if topic == events.CART_CHECKOUT_EXPIRED:
        cart, _ = changed_by(OPERATIONS[events.CART_CHECKED_OUT], cart)
    if topic not in made:
        assert cart is not None
        times = {"abandon_at": cart.updated_at, "abandoned_at": cart.updated_at}
        _, made = changed_by(OPERATIONS[topic], cart.model_copy(update=times))
    effect = made[topic]
    [event] = [event for event in EVENTS if event.topic == topic]
    value = json.loads(effect.value)
    assert effect.topic == topic
    validate(event, value)
    assert value.keys() == event.example.keys()
    assert asyncapi.example_headers(event).keys() == {
        name for name, _ in events.cloud_event_headers(effect)
    }


def test_no_published_event_has_an_email(document: Any) -> None:
    fields = [
        field
        for schema in document["components"]["schemas"].values()
        for field in schema.get("properties", {})
    ]
    assert not [name for name in fields if "mail" in name.lower()]


def drop(name: str, field: str) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        schema = document["components"]["schemas"][name]
        del schema["properties"][field]
        schema["required"] = [one for one in schema["required"] if one != field]

    return change


def retype(name: str, field: str, **schema: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        document["components"]["schemas"][name]["properties"][field] = schema

    return change


def relax(name: str, field: str) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        document["components"]["schemas"][name]["required"].remove(field)

    return change


def require(name: str, field: str) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        document["components"]["schemas"][name]["required"].append(field)

    return change


def without_topic(document: Any) -> None:
    del document["channels"]["cart.cleared"]


BREAKING = {
    "cart.item.added: quantity is gone": drop("CartItemAdded", "quantity"),
    "cart.item.added headers: ce_id is gone": drop("CloudEventHeaders", "ce_id"),
    "cart.item.removed: quantity was integer, is number": retype(
        "CartItemRemoved", "quantity", type="number"
    ),
    "cart.item.updated: timestamp was string (date-time), is string": retype(
        "CartItemUpdated", "timestamp", type="string"
    ),
    "cart.cleared: items[]: productId is gone": drop("ClearedItem", "productId"),
    "cart.cleared: cartId may be missing now": relax("CartCleared", "cartId"),
    "cart.cleared: the topic is gone": without_topic,
    "cart.dlq headers: dlq-error is gone": drop("DeadLetterHeaders", "dlq-error"),
    "order.completed: cartVersion is required now": require("OrderCompleted", "cartVersion"),
    "order.completed: orderId was string, is integer": retype(
        "OrderCompleted", "orderId", type="integer"
    ),
}


@pytest.mark.parametrize("problem", BREAKING)
def test_a_change_that_breaks_consumers_is_named(document: Any, problem: str) -> None:
    after = copy.deepcopy(document)
    BREAKING[problem](after)
    assert problem in breaking_changes(document, after)


def test_a_consumed_event_may_get_optional_fields(document: Any) -> None:
    after = copy.deepcopy(document)
    relax("OrderCompleted", "storeId")(after)
    assert breaking_changes(document, after) == []


def test_the_documented_headers_of_a_dead_letter_are_written() -> None:
    about = inspect.getsource(DeadLetters.park)
    for name in DEAD_LETTER_HEADERS:
        assert f'"{name.removeprefix(PREFIX)}":' in about


def test_a_new_field_breaks_no_consumer(document: Any) -> None:
    after = copy.deepcopy(document)
    retype("CartItemAdded", "giftWrapped", type="boolean")(after)
    assert breaking_changes(document, after) == []


def test_the_models_do_not_break_the_checked_in_document(project_root: Path, document: Any) -> None:
    kept = json.loads((project_root / "docs/asyncapi.json").read_text())
    assert breaking_changes(kept, document) == []


def test_make_docs_refuses_a_change_that_breaks_consumers(
    tmp_path: Path,
    document: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("dev.event_docs.__main__.DOCS", tmp_path)
    before = copy.deepcopy(document)
    retype("CartCleared", "leftOut", type="string")(before)
    (tmp_path / "asyncapi.json").write_text(json.dumps(before))
    assert main([]) == 1
    assert "cart.cleared: leftOut is gone" in capsys.readouterr().err
    assert json.loads((tmp_path / "asyncapi.json").read_text()) == before
    assert main(["--breaking"]) == 0
    assert json.loads((tmp_path / "asyncapi.json").read_text()) == document
