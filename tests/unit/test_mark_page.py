"""Marking a product in many carts: one cart that fails stops no other, and the page is repeated."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities import scans
from activities.scans import ScanActivities
from adapters.mongo.cart_scans import CartRef
from models.cart import CartKey
from models.cart_line import ProductAvailability
from models.documents import buckets_of
from models.errors import OperationAborted
from models.mark_product import MarkPage, MarkProductInput, ProductMarked
from models.outcomes import OperationResult, Outcome
from models.runners import Share
from tests.fakes.api import STORE, result_of

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
NEWS = ProductAvailability(product_id="lamp", status="out_of_stock", at=NOW)


class Marking:
    """Carts that have the product; `ends` are the ends of their sagas (default: committed)."""

    def __init__(self, carts: int) -> None:
        self.carts = [f"cart-{number}" for number in range(carts)]
        self.ends: dict[str, Outcome | Exception] = {}
        self.marked: list[str] = []
        self.activities = ScanActivities(cast(Any, self), mark=self._mark)

    async def to_mark(
        self,
        news: ProductAvailability,
        *,
        buckets: Sequence[int],
        store_id: str | None,
        after: str | None,
        limit: int,
    ) -> list[CartRef]:
        assert (news, store_id, buckets) == (NEWS, STORE, buckets_of(1, 2))
        first = self.carts.index(after) + 1 if after else 0
        return [CartRef(cart, CartKey(STORE, cart)) for cart in self.carts[first:][:limit]]

    async def _mark(self, _: MarkProductInput, cart: CartRef) -> OperationResult:
        end = self.ends.get(cart.cart_id, Outcome.COMMITTED)
        if isinstance(end, Exception):
            raise end
        await asyncio.sleep(0)
        self.marked.append(cart.cart_id)
        return result_of(end)

    async def page(self, after: str | None = None) -> ProductMarked:
        request = MarkProductInput(topic="stock", event_id="e-1", store_id=STORE, news=NEWS)
        page = MarkPage(request=request, share=Share(runner=1, runners=2), after=after)
        marked: ProductMarked = await ActivityEnvironment().run(self.activities.mark_page, page)
        return marked


async def test_all_carts_are_marked_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "PAGE", 2)
    ran = Marking(3)
    first = await ran.page()
    assert first == ProductMarked(looked_at=2, marked=2, after="cart-1")
    assert await ran.page(first.after) == ProductMarked(looked_at=1, marked=1, after=None)
    assert ran.marked == ran.carts


async def test_only_carts_that_were_changed_count_as_marked() -> None:
    ran = Marking(3)
    ran.ends = {"cart-0": Outcome.UNCHANGED, "cart-2": Outcome.REJECTED}
    assert await ran.page() == ProductMarked(looked_at=3, marked=1, after=None)


async def test_a_cart_that_fails_fails_the_page_once_all_others_were_tried() -> None:
    ran = Marking(20)
    ran.ends = {"cart-0": OperationAborted("conflict")}
    with pytest.raises(ApplicationError) as failed:
        await ran.page()
    assert (failed.value.type, failed.value.non_retryable) == ("OperationAborted", False)
    assert sorted(ran.marked) == sorted(ran.carts[1:])
