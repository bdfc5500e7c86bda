"""Background traffic of one buyer."""

import asyncio

from tests.support.shop import Buyer


async def keep_shopping(buyer: Buyer, until: asyncio.Event) -> int:
    """Adds, updates and removes until `until` is set; returns the number of rounds."""
    count = 0
    while not until.is_set():
        headers = buyer.headers
        http = buyer.shop.world.http
        answer = await buyer.add("lamp", 2)
        cart_id = answer.json().get("_id")
        if cart_id is not None:
            url = f"/api/v1/cart/{cart_id}"
            await buyer.add("mug", 1)
            await http.put(url, json={"productId": "lamp", "quantity": 1}, headers=headers)
            await http.delete(f"{url}/items/lamp", headers=headers)
            count += 1
        if count % 3 == 2:
            await http.delete(buyer.path, headers=headers)
    return count
