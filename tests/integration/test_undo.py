"""A failure at each step of the add, and what is stored after its undo."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest

from dev.stack.stack import Stack
from models.errors import RunAlreadyAborted
from models.messages import AddItemInput, AddLine, SagaRun
from models.steps import CommitChange
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually
from workflows import ids
from workflows.gateway import fingerprint, new_attempt, policy_of


async def assert_untouched(shop: Shop, buyer: Buyer, units: int) -> None:
    """Nothing of the operation is left: no unit is held, no cart is there, nobody was told."""
    assert await shop.units("headphones") == (units, 0, 0)
    assert await shop.holds() == {}
    assert await buyer.cart() is None
    assert await shop.events() == []


async def test_a_passing_error_of_the_inventory_is_not_noticed(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    await shop.fault("reserve", "error")
    answer = await shop.buyer().add(quantity=2)
    assert answer.status_code == 201
    assert await shop.units("headphones") == (3, 2, 0)


async def test_a_failed_reserve_is_undone_and_the_same_key_tries_again(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    await shop.fault("reserve", "error", times=3)
    buyer, key = shop.buyer(), uuid4().hex
    answer = await buyer.add(quantity=2, key=key)
    assert answer.status_code == 503
    assert answer.json()["message"] == "Unable to reserve inventory"
    assert int(answer.headers["Retry-After"]) >= 1
    await assert_untouched(shop, buyer, 5)

    async def undone() -> None:  # by the saga or, where the release is late, by the relay
        [record] = await shop.records()
        assert (record.state, record.reason) == ("aborted", "inventory_unavailable")
        assert (record.pending, [effect.kind for effect in record.effects]) == (False, ["release"])

    await eventually(undone)
    again = await buyer.add(quantity=2, key=key)
    assert again.status_code == 201
    assert "Idempotent-Replayed" not in again.headers
    assert await shop.units("headphones") == (3, 2, 0)


async def test_a_reserve_whose_answer_was_lost_is_given_back(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    await shop.fault("reserve", "commit_then_timeout", seconds=6)
    buyer = shop.buyer()
    answer = await buyer.add(quantity=2)
    ended = await buyer.ended(answer)
    assert ended["status"] == "aborted"
    assert ended["answer"]["status"] == 503
    assert ended["answer"]["body"]["message"] == "Unable to reserve inventory"
    await assert_untouched(shop, buyer, 5)


async def test_a_reserve_that_was_delivered_twice_takes_once(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    await shop.fault("reserve", "duplicate")
    assert (await shop.buyer().add(quantity=2)).status_code == 201
    assert await shop.units("headphones") == (3, 2, 0)


async def test_a_release_that_fails_stays_pending_in_its_record(shop: Shop) -> None:
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


def add_request(shop: Shop, buyer: Buyer, *, deadline_seconds: float) -> AddItemInput:
    policy = policy_of(shop.world.settings)
    return AddItemInput(
        store_id=shop.store_id,
        user_id=buyer.user_id,
        operation_id=ids.operation_id(shop.store_id, buyer.user_id, uuid4().hex),
        attempt_id=new_attempt(),
        fingerprint=fingerprint(ids.ADD_ITEM, {}),
        policy=policy.model_copy(update={"deadline_seconds": deadline_seconds}),
        product_id="headphones",
        product_title="Wireless Headphones",
        product_price=Decimal("79.99"),
        quantity=2,
    )


async def test_settling_after_the_commit_changes_nothing(shop: Shop) -> None:
    await shop.stock("headphones", 5)
    buyer = shop.buyer()
    assert (await buyer.add(quantity=2)).status_code == 201
    [record] = await shop.records()
    run = new_run(shop, buyer, add_request(shop, buyer, deadline_seconds=30))
    run = run.model_copy(update={"run_id": record.id})
    assert (await shop.world.carts.settle(run, "too late", ())).state == "committed"
    await shop.assert_consistent()


def new_run(shop: Shop, buyer: Buyer, request: AddItemInput) -> SagaRun:
    return SagaRun(
        run_id=str(uuid4()),
        saga_id="cart-1-u-p",
        started_at=datetime.now(UTC),
        operation=ids.ADD_ITEM,
        operation_id=request.operation_id,
        fingerprint=request.fingerprint,
        store_id=shop.store_id,
        user_id=buyer.user_id,
    )


async def test_a_settled_run_can_never_commit(shop: Shop) -> None:
    buyer = shop.buyer()
    request = add_request(shop, buyer, deadline_seconds=30)
    run = new_run(shop, buyer, request)
    carts = shop.world.carts
    assert (await carts.settle(run, "deadline", ())).state == "aborted"
    pivot = CommitChange(
        run=run, policy=request.policy, expected_version=0, change=AddLine(request=request)
    )
    with pytest.raises(RunAlreadyAborted):
        await carts.commit(pivot)
    assert await buyer.cart() is None


async def test_a_pivot_and_its_settling_at_once_agree(shop: Shop) -> None:
    carts = shop.world.carts
    for _ in range(20):
        buyer = shop.buyer()
        request = add_request(shop, buyer, deadline_seconds=30)
        run = new_run(shop, buyer, request)
        pivot = CommitChange(
            run=run, policy=request.policy, expected_version=0, change=AddLine(request=request)
        )
        committed, settled = await asyncio.gather(
            carts.commit(pivot), carts.settle(run, "race", ()), return_exceptions=True
        )
        assert not isinstance(settled, BaseException)
        if settled.state == "committed":
            assert not isinstance(committed, BaseException)
            assert await buyer.cart() is not None
        else:
            assert isinstance(committed, RunAlreadyAborted)
            assert await buyer.cart() is None


async def test_a_worker_killed_in_the_middle_leaves_one_effect(shop: Shop, stack: Stack) -> None:
    await shop.stock("headphones", 5)
    await shop.fault("reserve", "delay", seconds=1.5)
    buyer = shop.buyer()
    waiting = asyncio.create_task(buyer.add(quantity=2))

    async def saga_runs() -> None:
        faults = (await shop.world.inventory.get("/faults")).json()["faults"]
        assert faults == []  # the reserve has arrived at the inventory

    await eventually(saga_runs)
    await stack.kill("worker")
    answer = await waiting
    if answer.status_code == 202:
        ended = await buyer.ended(answer)
        assert ended["status"] == "committed"
    else:
        assert answer.status_code == 201
    assert await shop.units("headphones") == (3, 2, 0)
    await shop.assert_consistent()
    assert len(await shop.events()) == 1
    await stack.wait_ready("worker")
