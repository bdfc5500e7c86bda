"""Who caused an operation: in the operation, its saga, its record's fields and its event."""

from datetime import UTC, datetime

import orjson
import pytest

from adapters.mongo.cart_scans import CartRef
from models.actor import Actor, ActorType
from models.cart import CartKey
from models.events import CartCleared
from models.incoming import OrderCompleted
from models.limits import Policy
from models.operations import ChangeContext, ClearCart
from models.operations.base import CartOperation
from models.runners import Share
from models.saga import SagaRun
from models.upkeep.passes import PassPage
from models.upkeep.reconcile import ReconcileInput
from workflows import ids
from workflows.event_operations import apply_order, book_short, mark_lines
from workflows.upkeep.operations import expiry_of

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
CART = CartRef("507f1f77bcf86cd799439013", CartKey("store-1", "user-1"))
POLICY = Policy()


def saga_of(operation: CartOperation) -> SagaRun:
    return ids.saga_of(operation, run_id="run", started_at=NOW)


def test_an_order_is_caused_by_its_event() -> None:
    event = OrderCompleted.model_validate(
        {"cartId": CART.cart_id, "userId": "user-1", "storeId": "store-1", "orderId": "order-7"}
    )
    order = apply_order(event, POLICY)
    expected = Actor(type=ActorType.EVENT, id="order.completed/order-7")
    assert order.actor == saga_of(order).actor == expected
    assert book_short(order, {"lamp": 1}, 1).actor == expected


def test_a_marking_is_caused_by_its_event() -> None:
    marking = mark_lines(
        CART, (), topic="cart.item.out_of_stock", event_id="event-9", policy=POLICY
    )
    assert str(marking.actor) == "event:cart.item.out_of_stock/event-9"


def test_an_expiry_is_caused_by_its_schedule() -> None:
    page = PassPage(before=NOW, at=NOW, share=Share(runner=0, runners=1), left=(), limit=1)
    expiry = expiry_of(POLICY, CART, page, "run")
    assert str(expiry.saga.actor) == str(expiry.operation.actor) == "schedule:expiry"


def test_a_scheduled_reconciling_is_a_repair_and_an_operators_is_not() -> None:
    assert str(ReconcileInput().actor) == "repair:reconcile"
    ann = Actor(type=ActorType.OPERATOR, id="ann@ops")
    assert ReconcileInput(actor=ann).actor == ann


@pytest.mark.parametrize("kind", ActorType)
def test_an_event_says_the_kind_of_its_actor_and_never_the_id(kind: ActorType) -> None:
    clear = ClearCart(
        store_id="store-1",
        user_id="user-1",
        operation_id="op",
        attempt_id="attempt",
        fingerprint="",
        actor=Actor(type=kind, id="the-actor"),
        reason="user",
    )
    context = ChangeContext(saga_of(clear), CART.cart_id, publish=True)
    [event] = context.event(
        CartCleared, None, version=1, currency="USD", reason="user", order_id=None, items=[]
    )
    assert orjson.loads(event.value)["actorType"] == kind.value
    assert "the-actor" not in event.value
