"""What the inventory cannot release of one product delays no other cart's releases."""

import pytest

from models.effects import EffectKind
from tests.support.relays import RelayBench
from tests.support.waiting import eventually

SICK_CARTS, WELL_CARTS = 12, 32
MANY = 1000
SECONDS = 20.0


@pytest.mark.parametrize(
    "fault", [{"fault": "error"}, {"fault": "delay", "seconds": 6}], ids=["500", "slow"]
)
async def test_releases_of_a_sick_product_hold_up_no_other_cart(
    relays: RelayBench, fault: dict[str, float | str]
) -> None:
    shop = relays.shop
    for product in ("sick", "well"):
        await shop.stock(product, 100)
    where = {"storeId": shop.store_id, "productId": "sick", "times": MANY}
    await shop.fault("release", **{**where, **fault})  # type: ignore[arg-type]
    for number in range(SICK_CARTS):  # first, so that they are at the head of the shard
        user = relays.user(number)
        await relays.plant_release("sick", user=user, saga_id=f"sick-{number}")
    well = [
        await relays.plant_release("well", user=relays.user(number), saga_id=f"well-{number}")
        for number in range(SICK_CARTS, SICK_CARTS + WELL_CARTS)
    ]
    relay = await relays.wake(EffectKind.RELEASE)

    async def all_well_are_released() -> None:
        for effect in well:
            assert (await relays.effect(effect.id)).done_at is not None

    await eventually(all_well_are_released, timeout=SECONDS)
    (await shop.world.inventory.delete("/faults")).raise_for_status()
    assert await relay.result() == SICK_CARTS + WELL_CARTS
