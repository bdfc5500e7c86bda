"""Drift that other tests left behind: repaired, or out of the scope of a test."""

import json
from collections.abc import AsyncIterator, Collection

import pytest

from adapters.mongo.reconcile import ALL, CartBooks
from models.documents import Cart
from models.runners import Share
from tests.support.commands import cart
from tests.support.shop import World
from workflows.ids import WATCH_SCHEDULE


async def repair_all_drift() -> None:
    """Repairs all drift; deletes the carts that cannot be repaired."""
    output = (await cart("reconcile", "--json", "--limit", "2000", "--fix")).output
    report = json.loads(output[output.index("{\n") :])
    for finding in report["findings"]:
        if finding["drift"]["done"] is None:
            whose = {"storeId": finding["store_id"], "userId": finding["user_id"]}
            await Cart.find(whose).delete()


async def trigger_hold_watch(world: World) -> None:
    """Starts the watch of holds without waiting for its schedule."""
    await world.temporal.get_schedule_handle(WATCH_SCHEDULE).trigger()


def limit_to_stores(monkeypatch: pytest.MonkeyPatch, own: Collection[str]) -> None:
    """Limits reconciling and the watch, in this process, to these stores."""
    first, last, stores = min(own), max(own), CartBooks.stores

    async def only_own(
        books: CartBooks, after: str = "", *, share: Share = ALL
    ) -> AsyncIterator[str]:
        async for store_id in stores(books, max(after, first[:-1]), share=share):
            if store_id > last:
                return
            if store_id in own:
                yield store_id

    monkeypatch.setattr(CartBooks, "stores", only_own)
