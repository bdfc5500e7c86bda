"""Handling of a message: transient problems are retried, permanent ones make a dead letter."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from adapters.mongo.carts import Owner
from models.cart import CartKey
from models.documents import OperationRecord
from models.errors import (
    DependencyUnavailable,
    EventUnusable,
    OperationAborted,
    OperationInProgress,
)
from models.events import CART_ITEM_OUT_OF_STOCK, ORDER_COMPLETED
from models.incoming import ConsumedMessage
from models.limits import Policy
from models.mark_product import MarkProductInput
from models.operations import CartOperation
from models.outcomes import OperationResult, Outcome, Refusal
from models.reports import FailingSubject
from tests.fakes.api import record_of
from tests.unit.test_incoming import AN_ORDER, message
from workflows import event_failures, event_handler, ids
from workflows.event_handler import EventHandler

PROBLEMS = [
    DependencyUnavailable("mongodb"),
    DependencyUnavailable("temporal"),
    OperationInProgress("busy"),
    OperationAborted("deadline"),
]


class FakeCollaborators:
    """A gateway, carts and a dead letter topic, whose calls can fail."""

    usual = Policy()

    def __init__(self) -> None:
        self.fails: list[Exception] = []
        self.parking_fails: list[Exception] = []
        self.refusal: Refusal | None = None
        self.owned_by: Owner | None = None
        self.operations: list[CartOperation] = []
        self.products: list[MarkProductInput] = []
        self.parked: list[tuple[ConsumedMessage, EventUnusable]] = []
        self.committed: OperationRecord | None = None
        self.reading_fails: list[Exception] = []

    async def committed_record(self, operation_id: str, cart: CartKey) -> OperationRecord | None:
        if self.reading_fails:
            raise self.reading_fails.pop(0)
        return self.committed

    async def carry_out(self, request: CartOperation) -> OperationResult:
        if self.fails:
            raise self.fails.pop(0)
        self.operations.append(request)
        return OperationResult(
            outcome=Outcome.REJECTED if self.refusal else Outcome.COMMITTED,
            operation="ClearCart",
            operation_id=request.operation_id,
            record_id="record",
            saga_id="saga",
            refusal=self.refusal,
        )

    async def mark_product(self, request: MarkProductInput) -> None:
        self.products.append(request)

    async def owner(self, cart_id: str) -> Owner | None:
        return self.owned_by

    async def park(self, message: ConsumedMessage, why: EventUnusable) -> None:
        if self.parking_fails:
            raise self.parking_fails.pop(0)
        self.parked.append((message, why))

    async def of(self, store_id: str) -> Policy:
        return self.usual

    @property
    def handler(self) -> EventHandler:
        return EventHandler(self, self, self, self, policies=self)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> FakeCollaborators:
    monkeypatch.setattr(event_handler, "FIRST_PAUSE", 0.0001)
    monkeypatch.setattr(event_handler, "LONGEST_PAUSE", 0.001)
    return FakeCollaborators()


@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
async def test_a_transient_problem_is_retried_without_a_dead_letter(
    world: FakeCollaborators, problem: Exception
) -> None:
    world.fails = [problem] * 50
    await world.handler.take(message(AN_ORDER))
    assert len(world.operations) == 1
    assert world.parked == []


async def test_a_message_whose_cart_stays_busy_is_parked_after_a_time(
    world: FakeCollaborators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_failures, "WAIT_SECONDS", 0.02)
    world.fails = [OperationInProgress("the cart is busy")] * 1000
    await world.handler.take(message(AN_ORDER))
    [(_, why)] = world.parked
    assert why.code == "cart_busy"
    assert "can be replayed" in why.detail
    assert world.operations == []


async def test_a_cart_is_not_busy_while_a_dependency_is_down(
    world: FakeCollaborators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_failures, "WAIT_SECONDS", 0.002)
    busy, down = OperationInProgress("the cart is busy"), DependencyUnavailable("mongodb")
    world.fails = [busy, *[down] * 20] * 5
    await world.handler.take(message(AN_ORDER))
    assert (len(world.operations), world.parked) == (1, [])


async def test_a_repeat_is_found_by_its_record_without_a_saga(world: FakeCollaborators) -> None:
    await world.handler.take(message(AN_ORDER))
    [request] = world.operations
    world.committed = record_of(request.operation_id, fingerprint=request.fingerprint)
    world.fails = [OperationInProgress("the cart is busy")]
    await world.handler.take(message(AN_ORDER))
    assert (len(world.operations), len(world.fails), world.parked) == (1, 1, [])
    await world.handler.take(message(AN_ORDER | {"items": [{"productId": "a"}]}))
    assert [why.code for _, why in world.parked] == ["idempotency_key_reused"]


async def test_without_mongodb_a_saga_looks_for_the_record(world: FakeCollaborators) -> None:
    world.reading_fails = [DependencyUnavailable("mongodb")]
    await world.handler.take(message(AN_ORDER))
    assert len(world.operations) == 1


async def test_each_retry_has_the_same_operation_id(world: FakeCollaborators) -> None:
    handler = world.handler
    for _ in range(2):
        await handler.take(message(AN_ORDER))
    first, second = world.operations
    assert first.operation_id == second.operation_id
    assert first.fingerprint == second.fingerprint
    assert first.attempt_id != second.attempt_id


async def test_an_unexpected_error_makes_a_dead_letter_after_a_few_retries(
    world: FakeCollaborators,
) -> None:
    world.fails = [ValueError("a bug")] * event_failures.UNFORESEEN_TRIES
    await world.handler.take(message(AN_ORDER))
    [(_, why)] = world.parked
    assert why.code == "failed"
    assert "a bug" in why.detail
    assert world.operations == []


async def test_an_unexpected_error_that_passes_makes_no_dead_letter(
    world: FakeCollaborators,
) -> None:
    world.fails = [ValueError("a bug")] * (event_failures.UNFORESEEN_TRIES - 1)
    await world.handler.take(message(AN_ORDER))
    assert (len(world.operations), world.parked) == (1, [])


async def test_a_dead_letter_is_retried_until_kafka_is_back(world: FakeCollaborators) -> None:
    world.parking_fails = [DependencyUnavailable("kafka"), ValueError("a bug")] * 10
    await world.handler.take(message(b"{"))
    assert [why.code for _, why in world.parked] == ["malformed"]


def owned_by(store_id: str, user_id: str) -> Owner:
    """The owner of a cart that is gone."""
    return Owner(CartKey(store_id, user_id), None)


@pytest.mark.parametrize(
    ("code", "owner", "parked"),
    [
        ("cart_not_found", None, ["order_shortfall"]),
        ("cart_not_found", owned_by(AN_ORDER["storeId"], AN_ORDER["userId"]), ["order_shortfall"]),
        ("cart_not_found", owned_by(AN_ORDER["storeId"], "another"), ["wrong_owner"]),
        ("cart_not_found", owned_by("another", AN_ORDER["userId"]), ["wrong_owner"]),
        ("idempotency_key_reused", None, ["idempotency_key_reused"]),
    ],
)
async def test_a_refused_order_makes_a_dead_letter_with_the_reason(
    world: FakeCollaborators, code: Any, owner: Owner | None, parked: list[str]
) -> None:
    world.refusal, world.owned_by = Refusal(code=code), owner
    await world.handler.take(message(AN_ORDER))
    assert [why.code for _, why in world.parked] == parked


async def test_items_of_the_same_product_are_added_up(world: FakeCollaborators) -> None:
    items = [
        {"productId": "a", "quantity": 1},
        {"productId": "a", "quantity": 2},
        {"productId": "b", "quantity": 1},
        {"productId": "b"},
    ]
    await world.handler.take(message(AN_ORDER | {"items": items}))
    [request] = world.operations
    assert request.order is not None
    assert request.order.items is not None
    assert {line.product_id: line.quantity for line in request.order.items} == {"a": 3, "b": None}


async def test_an_event_without_a_cart_starts_one_workflow_for_each_product(
    world: FakeCollaborators,
) -> None:
    body = {"unavailableItems": [{"productId": "a"}, {"productId": "b"}], "storeId": "store"}
    await world.handler.take(message(body, CART_ITEM_OUT_OF_STOCK))
    assert [(one.news.product_id, one.store_id) for one in world.products] == [
        ("a", "store"),
        ("b", "store"),
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (lambda: message(AN_ORDER), lambda: message(AN_ORDER | {"orderId": "x"}), True),
        (
            lambda: message(AN_ORDER),
            lambda: message(AN_ORDER | {"cartId": AN_ORDER["cartId"].upper()}),
            True,
        ),
        (lambda: message(AN_ORDER), lambda: message(AN_ORDER | {"cartId": "0" * 24}), False),
        (lambda: message(b"{"), lambda: message(b"{", offset=18), False),
    ],
)
def test_messages_of_one_cart_are_in_one_lane(
    world: FakeCollaborators,
    one: Callable[[], ConsumedMessage],
    other: Callable[[], ConsumedMessage],
    same: bool,
) -> None:
    handler = world.handler
    assert (handler.lane(one()) == handler.lane(other())) is same


def test_no_clients_key_can_take_an_events_operation_id() -> None:
    event = ids.event_operation_id(ORDER_COMPLETED, "order-1", CartKey("store", "user"))
    keys = ["order-1", f"{ORDER_COMPLETED}|order-1", json.dumps(AN_ORDER)]
    assert event not in {ids.operation_id("store", "user", key) for key in keys}


async def test_a_message_that_waits_is_named_with_its_cart_until_it_is_done(
    world: FakeCollaborators,
) -> None:
    handler = world.handler
    reported: list[list[FailingSubject]] = []

    class Busy(list[Exception]):
        def pop(self, *_: Any) -> Exception:
            reported.append(handler.waiting.failing())
            return super().pop(0)

    world.fails = Busy([OperationInProgress("the cart is busy")] * 7)
    await handler.take(message(AN_ORDER))
    assert reported[:5] == [[]] * 5
    [failing] = reported[-1]
    assert failing.subject == f"order.completed/0, offset 17, cart/{AN_ORDER['cartId']}"
    assert (failing.reason, failing.failures) == ("the cart is busy", 6)
    assert handler.waiting.failing() == []
