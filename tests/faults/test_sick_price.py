"""A product service that is sick for one product does not stop the others."""

import asyncio
from http import HTTPStatus

import pytest

from tests.faults.partial.faults import PRODUCTS, PartialFault, SickPart, applied
from tests.faults.rig import FaultRig
from tests.support.apis import shop_with
from tests.support.shop import Buyer, Shop, world_of
from tests.support.waiting import eventually

SICK, WELL = "desk", "lamp"
SICK_SHOPPERS, WELL_SHOPPERS = 5, 3
SICK_ADDS, WELL_ADDS = 4, 5
"""Of each shopper; the sick ones are more than open the circuit of a product."""
TIMEOUT_SECONDS = 3.0


async def ask(buyer: Buyer) -> set[int]:
    """The statuses of adds of the sick product."""
    return {await buyer.status(await buyer.add(SICK)) for _ in range(SICK_ADDS)}


async def buy(buyer: Buyer) -> int:
    """Adds, changes and checks out a cart without the sick product; returns its units."""
    for _ in range(WELL_ADDS):
        added = await buyer.add(WELL)
        assert await buyer.status(added) == HTTPStatus.CREATED, added.text
    cart = await buyer.cart()
    assert cart is not None
    updated = await buyer.update(str(cart.id), WELL, WELL_ADDS + 1)
    assert await buyer.status(updated) == HTTPStatus.OK, updated.text
    frozen = await buyer.check_out()
    assert await buyer.status(frozen) == HTTPStatus.CREATED, frozen.text
    return WELL_ADDS + 1


@pytest.mark.parametrize("fault", PRODUCTS, ids=str)
async def test_others_buy_while_prices_of_one_product_cannot_be_had(
    rig: FaultRig, fault: PartialFault
) -> None:
    async with world_of(rig.settings) as world:
        shop = Shop(world)
        for product in (SICK, WELL):
            await shop.stock(product, 100)
            await shop.product(product, title=product.title(), price=5)
        async with (
            shop_with(
                shop,
                product_service_url=rig.settings.inventory,
                product_service_timeout_seconds=TIMEOUT_SECONDS,
            ) as served,
            applied(rig, fault, SickPart(shop.store_id, "", SICK)),
        ):
            sick = [asyncio.create_task(ask(served.buyer())) for _ in range(SICK_SHOPPERS)]
            bought = await asyncio.gather(*(buy(served.buyer()) for _ in range(WELL_SHOPPERS)))
            statuses = set[int]().union(*await asyncio.gather(*sick))
        assert statuses == {_expected(fault)}
        held = await shop.units(SICK)
        assert held[1] == (SICK_SHOPPERS * SICK_ADDS if HTTPStatus.CREATED in statuses else 0)
        assert await shop.units(WELL) == (100 - sum(bought), sum(bought), 0)
        await eventually(shop.assert_consistent)


def _expected(fault: PartialFault) -> int:
    """What shoppers of the sick product are answered."""
    if fault.inventory.get("status") == HTTPStatus.NOT_FOUND:
        return HTTPStatus.BAD_REQUEST  # unknown product
    late = fault.inventory["fault"] == "delay" and fault.inventory["seconds"] < TIMEOUT_SECONDS
    return HTTPStatus.CREATED if late else HTTPStatus.SERVICE_UNAVAILABLE
