"""A buyer who goes on shopping, beside what a test looks at."""

import asyncio

from tests.support.shop import Buyer


async def shop_on(buyer: Buyer, until: asyncio.Event) -> int:
    """Adds, changes and removes, until told to stop; answers how often."""
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
