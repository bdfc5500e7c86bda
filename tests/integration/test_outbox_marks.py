"""A record is pending for as long as one of its effects is to be done, however they are marked."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from adapters.mongo.outbox import Outbox
from models.documents import OperationRecord
from models.effects import EffectKind, ReleaseEffect
from tests.support.carts import operation_record
from tests.support.shop import Shop
from tests.support.waiting import eventually

NOW = datetime.now(UTC).replace(microsecond=0)
LATER = NOW + timedelta(hours=1)  # no relay takes them before


def release() -> ReleaseEffect:
    return ReleaseEffect(
        id=uuid4().hex, product_id="p", quantity=1, saga_id="saga", reason="cleared"
    )


async def stored(shop: Shop, *effects: ReleaseEffect) -> OperationRecord:
    return await operation_record(shop, pending=True, effects=effects, at=LATER).insert()


async def done_times(record: OperationRecord) -> list[datetime | None]:
    """When the effects were done, as stored; and checks that `pending` and `due` agree."""
    now = await OperationRecord.get(record.id)
    assert now is not None
    left = [effect for effect in now.effects if effect.done_at is None]
    assert now.pending == bool(left)
    assert now.due.keys() == ({EffectKind.RELEASE} if left else set())
    return [effect.done_at for effect in now.effects]


async def test_a_record_ends_with_its_last_effect(shop: Shop) -> None:
    first, second = release(), release()
    record = await stored(shop, first, second)
    await Outbox().mark_done(record, [first], NOW)
    assert await done_times(record) == [NOW, None]
    read_again = await OperationRecord.get(record.id)
    assert read_again is not None
    await Outbox().mark_done(read_again, [second], NOW + timedelta(seconds=1), lasting=False)

    async def both_are_done() -> None:
        assert await done_times(record) == [NOW, NOW + timedelta(seconds=1)]

    await eventually(both_are_done)  # reads see what a majority has


async def test_all_effects_of_a_record_end_at_once(shop: Shop) -> None:
    effects = release(), release()
    record = await stored(shop, *effects)
    await Outbox().mark_done(record, effects, NOW)
    assert await done_times(record) == [NOW, NOW]


async def test_effects_that_are_done_side_by_side_end_the_record(shop: Shop) -> None:
    first, second = release(), release()
    record = await stored(shop, first, second)
    await Outbox().mark_done(record, [first], NOW)
    await Outbox().mark_done(record, [second], NOW)
    assert await done_times(record) == [NOW, NOW]


async def test_an_effect_that_was_added_meanwhile_stays_pending(shop: Shop) -> None:
    record = await stored(shop, release())
    await OperationRecord.get_pymongo_collection().update_one(
        {"_id": record.id}, {"$push": {"effects": release().model_dump(by_alias=True)}}
    )
    await Outbox().mark_done(record, record.effects, NOW)
    assert await done_times(record) == [None, None]  # a relay does both
