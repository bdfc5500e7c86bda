"""The reference inventory keeps all rules that `cart doctor --inventory` plays."""

import asyncio

from cli.doctor.inventory import play
from cli.doctor.results import Status
from settings import Settings
from tests.integration.inventory.service import Warehouse


async def test_the_reference_inventory_keeps_all_rules(
    warehouse: Warehouse, inventory_url: str
) -> None:
    await warehouse.stock(2)
    settings = Settings(inventory_service_url=inventory_url)
    results = await asyncio.to_thread(play, settings, warehouse.store, "book")
    assert {result.part: result.state for result in results if result.state is not Status.OK} == {}
    assert await warehouse.units() == (2, 0, 0)
