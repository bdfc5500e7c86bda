"""One pass over the original carts: a report, and with a `Target` the import itself.

Carts are read by one cursor and stored in pages, so memory does not grow with their number. A pass
that was stopped is simply repeated: what has been imported is recognized.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bson import ObjectId

from activities.concurrency import gather_bounded
from adapters.mongo.carts import CartStore
from adapters.mongo.imports import Import, ImportedCarts
from cli.import_.differences import Difference, DifferenceKind
from cli.import_.holds import Holds
from cli.import_.original_carts import read_cart
from models.actor import Actor
from models.cart import CartContent, CartKey
from models.effects import ReleaseEffect
from models.limits import Policy
from models.saga import SagaRun
from workflows.ids import event_operation_id, saga_run
from workflows.requests import fingerprint

PAGE = 50
"""Carts in a transaction."""
CARTS_AT_ONCE = 8
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
    """Where carts are stored and held; `holds` is None where units are not reserved."""

    carts: CartStore
    imports: ImportedCarts
    holds: Holds | None
    apply: bool


class _Ready(NamedTuple):
    """A cart to store, and the undo of what was reserved for it."""

    imported: Import
    undo: tuple[ReleaseEffect, ...]


@dataclass(frozen=True)
class Pass:
    """One pass. `report` gets each difference as it is found."""

    target: Target
    policy: Policy
    actor: Actor
    report: Callable[[Difference], None]
    summary: Summary = field(default_factory=Summary)

    async def run(self, documents: AsyncIterator[Document]) -> AsyncIterator[Summary]:
        """Imports all carts; yields the counts after each page."""
        page: list[Document] = []
        async for document in documents:
            page.append(document)
            if len(page) == PAGE:
                await self._import(page)
                yield self.summary
                page = []
        if page:
            await self._import(page)
        yield self.summary

    async def _import(self, page: Sequence[Document]) -> None:
        now = datetime.now(UTC)
        self.summary.carts += len(page)
        wanted: list[tuple[ObjectId, CartContent]] = []
        for read in [read_cart(document, self.policy, now) for document in page]:
            self._note(*read.differences)
            if read.cart is None or read.cart_id is None:
                self.summary.left += 1
            else:
                wanted.append((read.cart_id, read.cart))
        wanted = [one async for one in self._new(wanted)]
        if self.target.apply:
            await self._store(wanted, now)
        else:
            self.summary.imported += len(wanted)

    async def _new(
        self, wanted: Sequence[tuple[ObjectId, CartContent]]
    ) -> AsyncIterator[tuple[ObjectId, CartContent]]:
        """The carts that were not imported before, and whose users have no cart here."""
        ids = {cart_id: _operation_id(cart_id, cart.key) for cart_id, cart in wanted}
        imported = await self.target.imports.imported(
            [(cart.key, ids[one]) for one, cart in wanted]
        )
        owners = await self.target.carts.versions({cart.key for _, cart in wanted})
        for cart_id, cart in wanted:
            if ids[cart_id] in imported:
                self.summary.already += 1
            elif cart.key in owners:
                self._exists(cart_id, cart)
            else:
                yield cart_id, cart

    async def _store(self, wanted: Sequence[tuple[ObjectId, CartContent]], now: datetime) -> None:
        async def held(one: tuple[ObjectId, CartContent]) -> _Ready:
            cart_id, cart = one
            saga = self._saga(cart_id, cart, now)
            if self.target.holds is None:
                return _Ready(Import(saga, cart_id, cart), ())
            found = await self.target.holds.hold(cart, saga)
            return _Ready(Import(saga, cart_id, found.cart), found.undo)

        await self._store_all(await gather_bounded(held, wanted, CARTS_AT_ONCE))

    async def _store_all(self, ready: Sequence[_Ready]) -> None:
        """Stores carts in one transaction; in halves where one of them exists by now."""
        if not ready:
            return
        if await self.target.imports.store([one.imported for one in ready]):
            self.summary.imported += len(ready)
            for one in ready:
                self._note(*_not_held(one.imported))
        elif len(ready) == 1:
            await self._give_back(ready[0])
        else:
            half = len(ready) // 2
            await self._store_all(ready[:half])
            await self._store_all(ready[half:])

    async def _give_back(self, ready: _Ready) -> None:
        """The user has begun another cart meanwhile."""
        if self.target.holds is not None:
            await self.target.holds.release(ready.imported.cart, ready.undo)
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


def _not_held(imported: Import) -> Iterator[Difference]:
    for line in imported.cart.cart_items:
        if line.held < line.product_quantity:
            yield Difference(
                str(imported.cart_id),
                DifferenceKind.UNITS_NOT_HELD,
                f"{line.held} of {line.product_quantity} units are held",
                line.product_id,
            )


def _operation_id(cart_id: ObjectId, cart: CartKey) -> str:
    """No request and no event can have this id."""
    return event_operation_id(SOURCE, str(cart_id), cart)
