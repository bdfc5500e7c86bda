"""Reconciling: what is compared of a cart, what is drift, and the messages of a run over all carts.

Everything here is plain data. A drift that is seen from outside is only a suspicion; it is one when
it is seen under the cart's lock (`workflows.repair_cart`).
"""

from collections.abc import Collection
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from models.messages import Drift, DriftKind, Message, SagaRun

DEFAULT_LIMIT = 500
"""Most carts that one run repairs, or reports."""


class Held(BaseModel):
    """What a user holds of a product, as the inventory says."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    user_id: str
    product_id: str
    quantity: int


class HeldPage(BaseModel):
    """One page of the inventory's list; `cursor` asks for the next, and is None on the last."""

    reservations: tuple[Held, ...]
    cursor: str | None


def hold_drifts(
    lines: dict[str, int], held: dict[str, int], *, unsettled: Collection[str], reserving: bool
) -> list[Drift]:
    """Where the units in a cart and the units held for it differ (each product id -> units).

    Of the products in `unsettled` a release is still to be done, so nothing can be said of them.
    While reservation is switched off, lines need no hold.
    """
    drifts = []
    for product_id in sorted((lines.keys() | held.keys()) - {*unsettled}):
        wanted, found = lines.get(product_id, 0), held.get(product_id, 0)
        if found == wanted or (found < wanted and not reserving):
            continue
        more = found > wanted
        drifts.append(
            Drift(
                kind=DriftKind.ORPHANED_HOLD if more else DriftKind.MISSING_HOLD,
                product_id=product_id,
                expected=wanted,
                found=found,
                detail=f"{found} held, {wanted} in the cart",
            )
        )
    return drifts


class ExamineCart(Message):
    """Compare what is stored about the cart of `run`; only under its lock is the answer drift."""

    run: SagaRun
    stuck_before: datetime
    reserving: bool
    caching: bool


class Examined(Message):
    """What was found."""

    drifts: tuple[Drift, ...]


class ForgetCached(Message):
    """Forget what is cached of a cart."""

    store_id: str
    user_id: str


# A run over all carts.


class Position(Message):
    """How far a run is: the store, the last user that was looked at, and the inventory's cursor of
    the page on which the next user is."""

    store_id: str
    user_id: str = ""
    cursor: str | None = None


class Finding(Message):
    """A drift, whose cart it is in, and the saga that has seen it under the cart's lock."""

    store_id: str
    user_id: str
    run_id: str
    drift: Drift


class Report(Message):
    """What a run came to.

    `suspected` carts looked wrong from outside; of these the drifts are in `findings`, and `busy`
    ones could not be looked at. `capped`: it has stopped at its limit.
    """

    fix: bool
    stores: int = 0
    carts: int = 0
    suspected: int = 0
    busy: int = 0
    findings: tuple[Finding, ...] = ()
    capped: bool = False


class ReconcileInput(Message):
    """Compare a store's carts, or (None) all, and with `fix` repair them, at most `limit`.

    The rest is carried from one run to the next.
    """

    store_id: str | None = None
    fix: bool = False
    limit: int = DEFAULT_LIMIT
    position: Position | None = None
    report: Report | None = None


class ScanPage(Message):
    """Compare the next carts, of a store or (None) of all; `position` None is the beginning."""

    store_id: str | None
    position: Position | None
    stuck_before: datetime


class Suspect(Message):
    """A cart that looks wrong from outside."""

    store_id: str
    user_id: str


class Scanned(Message):
    """What a page came to; `next` None at the end. So many `stores` ended on it."""

    carts: int
    suspects: tuple[Suspect, ...]
    next: Position | None
    stores: int


class LookAgain(Message):
    """Look at carts again, each under its lock; `name` names the run that asks."""

    suspects: tuple[Suspect, ...]
    name: str
    reason: str
    fix: bool
    stuck_before: datetime


class LookedAgain(Message):
    """What was drift, and how many carts could not be looked at."""

    findings: tuple[Finding, ...]
    busy: int
