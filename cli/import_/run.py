"""One pass over the original carts: a report, and the import itself where units can be held.

Carts are read by one cursor and stored in pages, so memory does not grow with their number. Some
pages are under way at a time: the units of one are reserved while another is stored. A pass that
was stopped is simply repeated: what has been imported is recognized, and its differences are named
again.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bson import ObjectId

from adapters.mongo.imports import Import, ImportedCarts
from adapters.mongo.store_policies import StorePolicies
from cli.import_.differences import Difference, DifferenceKind
from cli.import_.holds import Holds
from cli.import_.original_carts import read_cart, store_of
from models.actor import Actor
from models.cart import CartContent, CartKey
from models.effects import ReleaseEffect
from models.limits import Policy
from models.saga import SagaRun
from workflows.ids import event_operation_id, saga_run
from workflows.requests import fingerprint

PAGE = 50
"""Carts in a transaction."""
PAGES_AT_ONCE = 4
OPERATION = "ImportCart"
SOURCE = "import"
EXAMPLES = 3

Document = Mapping[str, Any]


@dataclass
class Summary:
    """Counts of a pass, and some carts of each kind of difference."""

    carts: int = 0
    imported: int = 0
    """Of a dry run: those that would be."""
    already: int = 0
    """Imported by an earlier pass."""
    left: int = 0
    """Not imported; each has a difference that says why."""
    differences: Counter[DifferenceKind] = field(default_factory=Counter)
    examples: dict[DifferenceKind, list[Difference]] = field(default_factory=dict)

    def note(self, difference: Difference) -> None:
        """Counts a difference."""
        self.differences[difference.kind] += 1
        examples = self.examples.setdefault(difference.kind, [])
        if len(examples) < EXAMPLES:
            examples.append(difference)


@dataclass(frozen=True)
class Target:
    """Where carts are stored and held; `holds` is None in a dry run."""

    imports: ImportedCarts
    holds: Holds | None


class _Wanted(NamedTuple):
    """A cart to import, and the policy of its store."""

    cart_id: ObjectId
    cart: CartContent
    policy: Policy


class _Ready(NamedTuple):
    """A cart to store, the undo of what was reserved for it, and what could not be held."""

    imported: Import
    undo: tuple[ReleaseEffect, ...]
    not_held: tuple[Difference, ...]


@dataclass(frozen=True)
class Pass:
    """One pass. `report` gets each difference as it is found."""

    target: Target
    policies: StorePolicies
    actor: Actor
    report: Callable[[Difference], None]
    summary: Summary = field(default_factory=Summary)

    async def run(self, documents: AsyncIterator[Document]) -> AsyncIterator[Summary]:
        """Imports all carts; yields the counts from time to time, and at the end.

        After an error, or when it is stopped, the pages that are under way are finished.
        """
        running: set[asyncio.Task[None]] = set()
        try:
            async for page in _pages(documents):
                running.add(asyncio.create_task(self._import(page)))
                if len(running) == PAGES_AT_ONCE:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.gather(*done)
                    yield self.summary
            await asyncio.gather(*running)
            yield self.summary
        finally:
            await asyncio.gather(*running, return_exceptions=True)

    async def _import(self, page: Sequence[Document]) -> None:
        now = datetime.now(UTC)
        stores = [store_of(document) for document in page]
        policies = await self.policies.of_all({store for store in stores if store is not None})
        wanted: list[_Wanted] = []
        for store_id, document in zip(stores, page, strict=True):
            policy = policies[store_id] if store_id is not None else self.policies.usual
            read = read_cart(document, policy, now)
            self._note(*read.differences)
            if read.cart is None or read.cart_id is None:
                self.summary.left += 1
            else:
                wanted.append(_Wanted(read.cart_id, read.cart, policy))
        wanted = await self._new(wanted)
        if self.target.holds is None:
            self.summary.imported += len(wanted)
        else:
            await self._store(wanted, self.target.holds, now)
        self.summary.carts += len(page)

    async def _new(self, wanted: Sequence[_Wanted]) -> list[_Wanted]:
        """The carts that were not imported before, and whose users have no cart here."""
        ids = {one.cart_id: _operation_id(one.cart_id, one.cart.key) for one in wanted}
        imported, here = await asyncio.gather(
            self.target.imports.imported([(one.cart.key, ids[one.cart_id]) for one in wanted]),
            self.target.imports.carts([one.cart.key for one in wanted]),
        )
        new = []
        for one in wanted:
            cart = here.get(one.cart.key)
            if ids[one.cart_id] in imported:
                self.summary.already += 1
                if cart is not None and cart.id == one.cart_id and one.policy.reserve:
                    self._note(*_not_held(one.cart_id, cart))
            elif cart is not None:
                self._exists(one.cart_id, one.cart)
            else:
                new.append(one)
        return new

    async def _store(self, wanted: Sequence[_Wanted], holds: Holds, now: datetime) -> None:
        async def held(one: _Wanted) -> _Ready:
            saga = self._saga(one.cart_id, one.cart, now)
            found = await holds.hold(one.cart, saga, one.policy)
            not_held = tuple(_not_held(one.cart_id, found.cart)) if one.policy.reserve else ()
            return _Ready(Import(saga, one.cart_id, found.cart), found.undo, not_held)

        await self._store_all(await asyncio.gather(*map(held, wanted)), holds)

    async def _store_all(self, ready: Sequence[_Ready], holds: Holds) -> None:
        """Stores carts in one transaction; in halves where one of them exists by now."""
        if not ready:
            return
        if await self.target.imports.store([one.imported for one in ready]):
            self.summary.imported += len(ready)
            for one in ready:
                self._note(*one.not_held)
        elif len(ready) == 1:
            await self._give_back(ready[0], holds)
        else:
            half = len(ready) // 2
            await self._store_all(ready[:half], holds)
            await self._store_all(ready[half:], holds)

    async def _give_back(self, ready: _Ready, holds: Holds) -> None:
        """The user has begun another cart meanwhile."""
        await holds.release(ready.imported.cart, ready.undo)
        self._exists(ready.imported.cart_id, ready.imported.cart)

    def _saga(self, cart_id: ObjectId, cart: CartContent, now: datetime) -> SagaRun:
        return saga_run(
            run_id=f"{SOURCE}-{cart_id}",
            started_at=now,
            operation=OPERATION,
            operation_id=_operation_id(cart_id, cart.key),
            subject=None,
            fingerprint=fingerprint(OPERATION, {"id": str(cart_id)}),
            store_id=cart.store_id,
            user_id=cart.user_id,
            actor=self.actor,
        )

    def _exists(self, cart_id: ObjectId, cart: CartContent) -> None:
        self.summary.left += 1
        detail = f"{cart.store_id}/{cart.user_id}"
        self._note(Difference(str(cart_id), DifferenceKind.CART_EXISTS, detail))

    def _note(self, *differences: Difference) -> None:
        for difference in differences:
            self.summary.note(difference)
            self.report(difference)


async def _pages(documents: AsyncIterator[Document]) -> AsyncIterator[list[Document]]:
    page: list[Document] = []
    async for document in documents:
        page.append(document)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def _not_held(cart_id: ObjectId, cart: CartContent) -> Iterator[Difference]:
    for line in cart.cart_items:
        if line.held < line.product_quantity:
            yield Difference(
                str(cart_id),
                DifferenceKind.UNITS_NOT_HELD,
                f"{line.held} of {line.product_quantity} units are held",
                line.product_id,
            )


def _operation_id(cart_id: ObjectId, cart: CartKey) -> str:
    """No request and no event can have this id."""
    return event_operation_id(SOURCE, str(cart_id), cart)
