"""A paused store: changes are refused, reads work."""

import logging
from datetime import UTC, datetime

import pytest

from models.intake import IntakeHold
from tests.fakes.api import STORE, USER, FakeApi, cart_of, record_of


def hold_of(store_id: str = STORE) -> IntakeHold:
    # Not by its constructor, for which Beanie wants a database.
    hold: IntakeHold = IntakeHold.model_construct(
        None,
        store_id=store_id,
        active=True,
        by="alice",
        reason="stocktaking",
        at=datetime(2026, 1, 27, tzinfo=UTC),
        retry_after_seconds=30,
    )
    return hold


@pytest.fixture
async def held() -> FakeApi:
    """An API with a pause of `STORE`."""
    api = FakeApi()
    api.holds.holds = [hold_of()]
    await api.state.intake.refresh()
    return api


async def test_changes_of_a_paused_store_are_refused_and_start_nothing(held: FakeApi) -> None:
    answer = await held.post()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert answer.json() == {
        "message": "Cart changes in this store are paused; try again",
        "code": "intake_held",
    }
    cleared = await held.client.delete(f"/api/v1/cart/{STORE}/store", headers=held.token())
    assert cleared.status_code == 503
    assert held.gateway.started == []


async def test_reads_go_on(held: FakeApi) -> None:
    held.mongo.carts[STORE, USER] = cart_of()
    assert (await held.get()).status_code == 200


async def test_a_repeated_key_of_a_paused_store_gets_its_reply(held: FakeApi) -> None:
    first = FakeApi()
    await first.post(headers={"Idempotency-Key": "k"})
    [request] = first.gateway.started
    held.mongo.records = [record_of(request.operation_id, fingerprint=request.fingerprint)]
    answer = await held.post(headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (201, "true")


async def test_other_stores_are_not_paused(held: FakeApi) -> None:
    held.holds.holds = [hold_of("store-2")]
    await held.state.intake.refresh()
    await held.post()
    assert len(held.gateway.started) == 1


async def test_no_store_is_paused_while_the_pauses_cannot_be_read(held: FakeApi) -> None:
    held.holds.down = True
    await held.state.intake.refresh()
    await held.post()
    assert len(held.gateway.started) == 1


async def test_a_pause_is_logged_once_with_its_operator_and_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeApi()
    api.holds.holds = [hold_of()]
    with caplog.at_level(logging.WARNING, "api.intake"):
        for _ in range(2):
            await api.state.intake.refresh()
        api.holds.holds = []
        await api.state.intake.refresh()
    began, ended = caplog.records
    assert (began.event, began.storeId, began.by, began.reason) == (  # type: ignore[attr-defined]
        "intake_held",
        STORE,
        "alice",
        "stocktaking",
    )
    assert ended.event == "intake_released"  # type: ignore[attr-defined]
