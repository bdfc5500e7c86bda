"""When a cart counts as abandoned and as recovered, and what is published."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import pytest

from models.abandonment import after_users_change
from models.actor import Actor, ActorType
from models.cart import CartContent, CartKey, cart_json
from models.cart_line import CartLine
from models.effects import EventEffect
from models.events import CART_ABANDONED, CART_RECOVERED, event_id
from models.limits import Policy
from models.operations import AbandonCart, CartChange, ChangeContext
from tests.support.actors import SHOPPER
from workflows import ids

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=2)
CART_ID = "507f1f77bcf86cd799439013"
DUE = NOW + timedelta(hours=1)
ON = Policy(abandon_seconds=3600)


def context(actor: Actor = SHOPPER, *, publish: bool = True) -> ChangeContext:
    saga = ids.saga_run(
        run_id="run-1",
        started_at=NOW,
        operation="AddItem",
        operation_id="0" * 32,
        subject="lamp",
        fingerprint="",
        store_id="store-1",
        user_id="user-1",
        actor=actor,
    )
    return ChangeContext(saga, CART_ID, publish)


def cart(units: int = 2, **changed: Any) -> CartContent:
    line = CartLine(
        product_id="lamp",
        product_title="Lamp",
        product_price=Decimal("10.00"),
        product_quantity=units,
        reserved_at=EARLIER,
    )
    fields = {"cart_items": [line] if units else [], "quantity": units, "version": 3}
    fields |= {"total_price": Decimal(10 * units), "updated_at": EARLIER}
    empty = CartContent.empty(CartKey("store-1", "user-1"), "USD", EARLIER)
    return empty.model_copy(update=fields | changed)


def changed(after: CartContent | None, version: int | None = 4) -> CartChange:
    return CartChange(after, version, HTTPStatus.OK, b"{}")


def events(change: CartChange) -> list[tuple[str, dict[str, Any]]]:
    return [
        (effect.topic, json.loads(effect.value))
        for effect in change.effects
        if isinstance(effect, EventEffect)
    ]


def test_each_change_by_the_user_moves_the_time() -> None:
    change = after_users_change(None, changed(cart(version=4)), ON, context())
    assert change.cart is not None
    assert (change.cart.abandon_at, change.cart.abandoned_at) == (DUE, None)
    assert change.effects == ()
    later = after_users_change(cart(abandon_at=NOW), changed(cart()), ON, context())
    assert later.cart is not None
    assert later.cart.abandon_at == DUE


@pytest.mark.parametrize("actor", [ActorType.ADMIN, ActorType.EVENT, ActorType.SCHEDULE])
def test_what_others_do_is_no_sign_of_the_user(actor: ActorType) -> None:
    before = cart(abandoned_at=EARLIER)
    change = changed(before.model_copy(update={"version": 4}))
    assert after_users_change(before, change, ON, context(Actor(type=actor, id="x"))) is change


@pytest.mark.parametrize(("after", "policy"), [(cart(0), ON), (cart(), Policy())])
def test_an_empty_cart_and_one_with_it_switched_off_have_no_time(
    after: CartContent, policy: Policy
) -> None:
    due = after.model_copy(update={"abandon_at": EARLIER})
    change = after_users_change(cart(abandon_at=EARLIER), changed(due), policy, context())
    assert change.cart is not None
    assert change.cart.abandon_at is None
    assert change.effects == ()


def test_a_cart_that_is_cleared_or_stays_as_it_is_has_no_event() -> None:
    before = cart(abandoned_at=EARLIER)
    for change in (changed(None), changed(before, None)):
        assert after_users_change(before, change, ON, context()) is change


@pytest.mark.parametrize("actor", [ActorType.USER, ActorType.GUEST])
def test_the_users_next_change_recovers_an_abandoned_cart(actor: ActorType) -> None:
    before = cart(abandoned_at=EARLIER)
    after = cart(5, version=4, abandoned_at=EARLIER)
    change = after_users_change(before, changed(after), ON, context(Actor(type=actor, id="user-1")))
    assert change.cart is not None
    assert (change.cart.abandon_at, change.cart.abandoned_at) == (DUE, None)
    [(topic, event)] = events(change)
    assert topic == CART_RECOVERED
    assert (event["version"], event["totalPrice"]) == (4, 50.0)
    assert event["abandonedAt"] == "2026-01-27T08:30:00.000Z"
    record_id = context().saga.record_id
    assert event["eventId"] not in {event_id(record_id, position) for position in range(200)}
    without = after_users_change(before, changed(after), ON, context(publish=False))
    assert without.effects == ()


def abandon(**changed: Any) -> AbandonCart:
    fields: dict[str, Any] = {
        "store_id": "store-1",
        "user_id": "user-1",
        "operation_id": "0" * 32,
        "attempt_id": "attempt-1",
        "fingerprint": "",
        "actor": Actor(type=ActorType.SCHEDULE, id="abandonment"),
        "cart_id": CART_ID,
        "updated_at": EARLIER,
        "at": NOW,
    }
    return AbandonCart(**fields | changed)


def test_an_abandoned_cart_keeps_its_version_and_what_clients_see() -> None:
    before = cart(abandon_at=EARLIER)
    change = abandon().apply(before, context(abandon().actor))
    assert change is not None
    assert change.cart is not None
    assert change.version is None
    assert (change.cart.abandon_at, change.cart.abandoned_at) == (None, NOW)
    assert cart_json(CART_ID, change.cart) == cart_json(CART_ID, before)
    [(topic, event)] = events(change)
    assert topic == CART_ABANDONED
    assert (event["version"], event["timestamp"]) == (3, "2026-01-27T10:30:00.000Z")
    assert event["updatedAt"] == "2026-01-27T08:30:00.000Z"
    assert event["items"] == [{"productId": "lamp", "quantity": 2}]
    assert event["actorType"] == "schedule"


@pytest.mark.parametrize(
    "stored",
    [
        cart(abandon_at=NOW + timedelta(milliseconds=1)),
        cart(abandoned_at=EARLIER),
        cart(abandon_at=EARLIER, updated_at=NOW),
    ],
)
def test_a_cart_that_is_not_due_or_has_changed_is_left(stored: CartContent) -> None:
    assert abandon().apply(stored, context()) is None
