"""What other tests left behind: put right, seen by the watch, or left out."""

import json
from collections.abc import AsyncIterator, Collection

import pytest

from adapters.mongo.reconcile import CartBooks
from models.cart import Cart
from tests.support.commands import cart
from tests.support.shop import World
from workflows.ids import WATCH_SCHEDULE


async def nothing_drifts() -> None:
    """Puts right what other tests have left behind; a cart that cannot be is thrown away."""
    output = (await cart("reconcile", "--json", "--limit", "2000", "--fix")).output
    report = json.loads(output[output.index("{\n") :])
    for finding in report["findings"]:
        if finding["drift"]["done"] is None:
            whose = {"storeId": finding["store_id"], "userId": finding["user_id"]}
            await Cart.find(whose).delete()


async def look_now(world: World) -> None:
    """Lets the watch look, where nothing is to be learnt from waiting for it."""
    await world.temporal.get_schedule_handle(WATCH_SCHEDULE).trigger()


def only_stores(monkeypatch: pytest.MonkeyPatch, own: Collection[str]) -> None:
    """Lets reconciling and the watch, in this process, come to these stores alone."""
    first, last, stores = min(own), max(own), CartBooks.stores

    async def only_own(books: CartBooks, after: str = "") -> AsyncIterator[str]:
        async for store_id in stores(books, max(after, first[:-1])):
            if store_id > last:
                return
            if store_id in own:
                yield store_id

    monkeypatch.setattr(CartBooks, "stores", only_own)
