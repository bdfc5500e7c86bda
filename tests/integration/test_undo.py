"""A failure at each step of the add, and the stored state after its undo."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import OperationFailure

from adapters.mongo.operations import OperationStore
from dev.stack.stack import Stack
from models.cart import CartKey
from models.documents import Cart, OperationRecord
from models.effects import EffectKind
from models.errors import DependencyUnavailable
from models.operations import AddItem, AnyOperation, ClearCart, RemoveItem, UpdateQuantity
from models.operations.base import releases_of
from models.outcomes import AbortReason, Outcome
from models.saga import SagaRun
from models.steps import PersistCart, SettleOperation
from models.wire import to_milliseconds
from tests.support.actors import SHOPPER
from tests.support.keys import KEYRING
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually
from workflows import ids
from workflows.requests import fingerprint, policy_of


async def assert_untouched(shop: Shop, buyer: Buyer, units: int) -> None:
    """The operation left nothing: no held unit, no cart, no event."""
    assert await shop.units("headphones") == (units, 0, 0)
    assert await shop.holds() == {}
    assert await buyer.cart() is None
    assert await shop.events() == []


async def test_a_transient_error_of_the_inventory_does_not_reach_the_shopper(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    await shop.fault("reserve", "error")
    answer = await shop.buyer().add(quantity=2)
    assert answer.status_code == 201
    assert await shop.units("headphones") == (3, 2, 0)


async def test_a_failed_reserve_is_undone_and_its_key_can_be_used_again(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    await shop.fault("reserve", "error", times=3)
    buyer, key = shop.buyer(), uuid4().hex
    answer = await buyer.add(quantity=2, key=key)
    assert answer.status_code == 503
    assert answer.json()["message"] == "Unable to reserve inventory"
    assert int(answer.headers["Retry-After"]) >= 1
    await assert_untouched(shop, buyer, 5)

    async def undone() -> None:  # by the saga or, if its release is late, by the relay
        [record] = await shop.records()
        assert (record.state, record.reason) == ("aborted", "inventory_unavailable")
        assert (record.pending, [effect.kind for effect in record.effects]) == (False, ["release"])

    await eventually(undone)
    again = await buyer.add(quantity=2, key=key)
    assert again.status_code == 201
    assert "Idempotent-Replayed" not in again.headers
    assert await shop.units("headphones") == (3, 2, 0)


async def test_a_reserve_whose_answer_was_lost_is_released(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    await shop.fault("reserve", "commit_then_timeout", seconds=6)
    buyer = shop.buyer()
    answer = await buyer.add(quantity=2)
    ended = await buyer.ended(answer)
    assert ended["status"] == "aborted"
    assert ended["answer"]["status"] == 503
    assert ended["answer"]["body"]["message"] == "Unable to reserve inventory"
    await assert_untouched(shop, buyer, 5)


async def test_a_reserve_that_arrives_twice_takes_units_once(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    await shop.fault("reserve", "duplicate")
    assert (await shop.buyer().add(quantity=2)).status_code == 201
    assert await shop.units("headphones") == (3, 2, 0)


async def test_a_release_that_fails_is_recorded_and_done_later(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    await shop.fault("reserve", "commit_then_timeout", seconds=0, times=3)
    await shop.fault("release", "error", times=1)
    buyer = shop.buyer()
    answer = await buyer.add(quantity=2)
    assert answer.status_code == 503
    [record] = await shop.records()
    assert record.state == "aborted"
    [release] = record.effects
    assert release.kind == "release"
    assert release.quantity == 2

    async def released() -> None:
        assert await shop.units("headphones") == (5, 0, 0)
        assert not any(record.pending for record in await shop.records())

    await eventually(released)


def add_request(shop: Shop, buyer: Buyer, *, deadline_seconds: float) -> AddItem:
    policy = policy_of(shop.world.settings)
    return AddItem(
        store_id=shop.store_id,
        user_id=buyer.user_id,
        operation_id=ids.operation_id(shop.store_id, buyer.user_id, uuid4().hex),
        attempt_id=uuid4().hex,
        fingerprint=fingerprint(AddItem.name, {}),
        actor=SHOPPER,
        policy=policy.model_copy(update={"deadline_seconds": deadline_seconds}),
        product_id="headphones",
        product_title="Wireless Headphones",
        product_price=Decimal("79.99"),
        quantity=2,
    )


COMMON = {"store_id", "user_id", "operation_id", "attempt_id", "fingerprint", "actor"}


@pytest.fixture
def operations(shop: Shop) -> OperationStore:
    return OperationStore(shop.world.carts.client, KEYRING)


def new_saga(operation: AnyOperation) -> SagaRun:
    now = to_milliseconds(datetime.now(UTC))
    return SagaRun(
        run_id=str(uuid4()),
        record_id=ids.record_id(operation.operation_id, now),
        saga_id=ids.saga_id(now, operation.user_id, operation.subject or operation.name),
        started_at=now,
        operation=operation.name,
        operation_id=operation.operation_id,
        fingerprint=operation.fingerprint,
        store_id=operation.store_id,
        user_id=operation.user_id,
        actor=operation.actor,
    )


async def test_settling_after_the_commit_changes_nothing(
    shop: Shop, operations: OperationStore
) -> None:
    await shop.stock("headphones", 5)
    buyer = shop.buyer()
    assert (await buyer.add(quantity=2)).status_code == 201
    [record] = await shop.records()
    request = add_request(shop, buyer, deadline_seconds=30)
    saga = new_saga(request).model_copy(update={"record_id": record.id})
    late = SettleOperation(saga=saga, operation=request, reason=AbortReason.DEADLINE)
    assert (await operations.settle(late)).outcome is Outcome.COMMITTED
    [unchanged] = await shop.records()
    assert (unchanged.state, unchanged.reason) == ("committed", None)
    await shop.assert_consistent()


async def test_a_settled_saga_can_never_commit(shop: Shop, operations: OperationStore) -> None:
    buyer = shop.buyer()
    request = add_request(shop, buyer, deadline_seconds=30)
    saga = new_saga(request)
    undo = SettleOperation(saga=saga, operation=request, reason=AbortReason.DEADLINE)
    settled = await operations.settle(undo)
    assert (settled.outcome, settled.reason) == (Outcome.ABORTED, AbortReason.DEADLINE)
    assert await operations.persist(PersistCart(saga=saga, operation=request)) == settled
    assert await buyer.cart() is None


async def test_a_pivot_and_its_settling_at_once_agree(
    shop: Shop, operations: OperationStore
) -> None:
    for _ in range(20):
        buyer = shop.buyer()
        request = add_request(shop, buyer, deadline_seconds=30)
        saga = new_saga(request)
        persisted, settled = await asyncio.gather(
            operations.persist(PersistCart(saga=saga, operation=request)),
            operations.settle(
                SettleOperation(saga=saga, operation=request, reason=AbortReason.DEADLINE)
            ),
        )
        assert persisted == settled
        cart = await buyer.cart()
        assert (cart is not None) is (settled.outcome is Outcome.COMMITTED)
        assert len(await OperationRecord.find({"operationId": saga.operation_id}).to_list()) == 1


async def test_two_first_adds_at_the_same_moment_both_commit(
    shop: Shop, operations: OperationStore
) -> None:
    """As when one of the two sagas runs on after its run was terminated."""
    for _ in range(10):
        buyer = shop.buyer()
        requests = [add_request(shop, buyer, deadline_seconds=30) for _ in range(2)]
        results = await asyncio.gather(
            *(
                operations.persist(PersistCart(saga=new_saga(request), operation=request))
                for request in requests
            )
        )
        assert [result.outcome for result in results] == [Outcome.COMMITTED] * 2
        assert {result.version for result in results} == {1, 2}
        assert len({result.cart_id for result in results}) == 1
        [cart] = await Cart.find({"storeId": shop.store_id, "userId": buyer.user_id}).to_list()
        assert (cart.version, cart.quantity, len(cart.cart_items)) == (2, 4, 1)


async def test_a_removal_that_is_persisted_again_is_still_committed(
    shop: Shop, operations: OperationStore
) -> None:
    """The repeat finds a cart without the product, because its first try has removed it."""
    buyer = shop.buyer()
    request = add_request(shop, buyer, deadline_seconds=30)
    added = await operations.persist(PersistCart(saga=new_saga(request), operation=request))
    removal = RemoveItem(
        **add_request(shop, buyer, deadline_seconds=30).model_dump(include=COMMON),
        cart_id=added.cart_id or "",
        product_id="headphones",
    )
    pivot = PersistCart(saga=new_saga(removal), operation=removal)
    first = await operations.persist(pivot)
    again = await operations.persist(pivot)
    elsewhere = await OperationStore(shop.world.carts.client, KEYRING).persist(pivot)
    assert first.outcome is Outcome.COMMITTED
    assert first == again == elsewhere
    assert len(await OperationRecord.find({"operationId": removal.operation_id}).to_list()) == 1
    cart = await buyer.cart()
    assert cart is not None
    assert (cart.version, cart.cart_items) == (2, [])


async def test_a_change_that_was_rolled_back_is_not_taken_for_the_decision(
    shop: Shop, operations: OperationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = shop.buyer()
    request = add_request(shop, buyer, deadline_seconds=30)
    saga = new_saga(request)
    reserved = releases_of(saga, {"headphones": 2}, "saga_aborted")

    async def fails(_: AsyncClientSession) -> None:
        raise OperationFailure("not committed")

    with monkeypatch.context() as patched:
        patched.setattr(AsyncClientSession, "commit_transaction", fails)
        with pytest.raises((DependencyUnavailable, OperationFailure)):
            await operations.persist(PersistCart(saga=saga, operation=request, reserved=reserved))
    settled = await operations.settle(
        SettleOperation(
            saga=saga, operation=request, reason=AbortReason.MONGODB_UNAVAILABLE, reserved=reserved
        )
    )
    assert settled.outcome is Outcome.ABORTED
    decision = await operations.decision(saga)
    assert decision.cart is None
    assert decision.record.state == "aborted"
    assert decision.record.pending_of(EffectKind.RELEASE) == [*reserved]
    assert await shop.world.carts.cart(CartKey(shop.store_id, buyer.user_id)) is None


async def test_an_add_has_one_effect_when_its_worker_is_killed(shop: Shop, stack: Stack) -> None:
    await shop.stock("headphones", 5)
    await shop.fault("reserve", "delay", seconds=1.5)
    buyer = shop.buyer()
    waiting = asyncio.create_task(buyer.add(quantity=2))

    async def reserve_arrived() -> None:
        faults = (await shop.world.inventory.get("/faults")).json()["faults"]
        assert faults == []  # used up by the reserve

    await eventually(reserve_arrived)
    await stack.kill("worker")
    assert await buyer.status(await waiting) == 201
    assert await shop.units("headphones") == (3, 2, 0)
    await shop.assert_consistent()

    async def published_once() -> None:
        assert len(await shop.events()) == 1

    await eventually(published_once)  # beside the reply
    await stack.wait_ready("worker")


CHANGES: dict[str, Callable[[dict[str, Any], str], AnyOperation]] = {
    "add": lambda fields, _: AddItem(
        **fields, product_id="lamp", product_title="Lamp", product_price=Decimal(9), quantity=1
    ),
    "update": lambda fields, cart: UpdateQuantity(
        **fields, cart_id=cart, product_id="headphones", quantity=1
    ),
    "remove": lambda fields, cart: RemoveItem(**fields, cart_id=cart, product_id="headphones"),
    "clear": lambda fields, _: ClearCart(**fields, reason="user"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_transaction_that_does_not_commit_changes_nothing(
    shop: Shop, operations: OperationStore, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """None of its writes was made outside it."""
    buyer = shop.buyer()
    request = add_request(shop, buyer, deadline_seconds=30)
    added = await operations.persist(PersistCart(saga=new_saga(request), operation=request))
    before = await buyer.cart()
    fields = add_request(shop, buyer, deadline_seconds=30).model_dump(include=COMMON)
    operation = CHANGES[change](fields, added.cart_id or "")

    async def fails(_: AsyncClientSession) -> None:
        raise OperationFailure("not committed")

    with monkeypatch.context() as patched:
        patched.setattr(AsyncClientSession, "commit_transaction", fails)
        with pytest.raises((DependencyUnavailable, OperationFailure)):
            await operations.persist(PersistCart(saga=new_saga(operation), operation=operation))
    assert await buyer.cart() == before
    assert len(await shop.records()) == 1
