"""Reconciling: the comparison of a cart and its reservations, and the messages of a run.

A difference that is found without the cart's lock is only a suspicion. It is a drift when it is
found under the lock (`workflows.repair_cart`).
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from models.actor import Actor, ActorType
from models.drift import Drift, DriftKind
from models.message import Message
from models.runners import Runner, Share
from models.wire import CAMEL_CASE

DEFAULT_LIMIT = 500
"""Most carts that one run reports or repairs."""


NEVER = datetime.fromtimestamp(0, UTC)
"""Before this time nothing is stuck."""

MOST_DRIFTS = 100
"""Most drifts of one cart that are listed and repaired at a time: as many as it may have lines."""

MOST_DRIFT_BYTES = 65_536
"""Most bytes of these drifts. The inventory chooses the ids of the products that it holds."""

CART_RESERVATION = "cart"
"""The type of this service's reservations. Reservations of other types are ignored."""


class ReservedUnits(BaseModel):
    """The units of a product that are reserved for a user."""

    model_config = ConfigDict(**CAMEL_CASE, frozen=True)

    user_id: str
    product_id: str
    quantity: int
    reservation_type: str = CART_RESERVATION


class ReservationPage(BaseModel):
    """A page of the inventory's reservations. `cursor` is the next page's, None on the last."""

    reservations: tuple[ReservedUnits, ...]
    cursor: str | None


def hold_drifts(
    lines: dict[str, int], held: dict[str, int], *, unsettled: Collection[str], reserving: bool
) -> list[Drift]:
    """The differences between the units that must be held for a cart's lines, and the reserved
    units (both product id -> units).

    Skips the products in `unsettled`, which have pending releases. Without `reserving`, lines need
    no reservation.
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


def listed(drifts: Sequence[Drift], *, more: int = 0) -> list[Drift]:
    """The first drifts within `MOST_DRIFTS` and `MOST_DRIFT_BYTES`.

    One of its own kind stands for the others, and for `more` that are not among `drifts`.
    """
    shown: list[Drift] = []
    size = 0
    for drift in drifts[:MOST_DRIFTS]:
        size += len(drift.model_dump_json())
        if size > MOST_DRIFT_BYTES:
            break
        shown.append(drift)
    if left := len(drifts) - len(shown) + more:
        what = f"{left} more; repair the others first, then look again"
        shown.append(Drift(kind=DriftKind.FURTHER, found=left, detail=what))
    return shown


class ExamineCart(Message):
    """Compare what the systems store about a cart. Must run under the cart's lock."""

    store_id: str
    user_id: str
    stuck_before: datetime
    reserving: bool
    caching: bool


class Examined(Message):
    """The drifts of a cart, as `listed`."""

    drifts: tuple[Drift, ...]


class ForgetCached(Message):
    """Delete a cart from the cache."""

    store_id: str
    user_id: str


# A run over all carts.


class Position(Message):
    """The position of a run: the store, the last compared user (empty: none), and the inventory's
    cursor of the page with the next user."""

    store_id: str
    user_id: str = ""
    cursor: str | None = None


class Finding(Message):
    """A drift, its cart, and the record id of the saga that found it under the cart's lock.

    `seen_at` is when the watch first found it.
    """

    store_id: str
    user_id: str
    record_id: str
    drift: Drift
    seen_at: datetime | None = None


class Report(Message):
    """The result of a run: counts. What was found is stored (`models.upkeep.findings`).

    `suspected` carts differed without the lock. `drifting` carts have `drifts` under the lock, of
    which `left` were not repaired. `busy` carts could not be checked. `capped` means that the run
    stopped at its limit.
    """

    fix: bool
    stores: int = 0
    carts: int = 0
    suspected: int = 0
    busy: int = 0
    drifting: int = 0
    drifts: int = 0
    left: int = 0
    capped: bool = False


class ReconcileRunner(Runner):
    """Where a runner continues; None at its beginning."""

    position: Position | None = None


class ReconcileInput(Message):
    """Compare the carts of a store or (None) of all stores; with `fix` repair at most `limit`.

    `actor` caused the run. `runners` and `report` are carried from one run to the next.
    """

    store_id: str | None = None
    fix: bool = False
    limit: int = DEFAULT_LIMIT
    actor: Actor = Actor(type=ActorType.REPAIR, id="reconcile")
    runners: tuple[ReconcileRunner, ...] = ()
    report: Report | None = None


class ReconcilePage(Message):
    """Compare the next carts of a store or (None) of a share of the stores, from a position (None:
    the beginning), and look again at the `room` first that differ.

    `run` identifies the run, and `reason` says what it is.
    """

    store_id: str | None
    share: Share
    position: Position | None
    stuck_before: datetime
    run: str
    reason: str
    fix: bool
    room: int
    actor: Actor


class ReconciledPage(Message):
    """The counts of a page, as in `Report`; `next` is None at the end.

    `capped` says that there are more suspects which no position leads to.
    """

    stores: int
    carts: int
    suspected: int
    busy: int
    drifting: int
    drifts: int
    left: int
    next: Position | None
    capped: bool


class Suspect(Message):
    """A cart that differs without its lock."""

    store_id: str
    user_id: str


class Scanned(Message):
    """The result of a page: `stores` is the number of completed stores, `next` None at the end."""

    carts: int
    suspects: tuple[Suspect, ...]
    next: Position | None
    stores: int


class LookAgain(Message):
    """Check carts again, each under its lock. `name` identifies the requesting run."""

    suspects: tuple[Suspect, ...]
    name: str
    reason: str
    fix: bool
    stuck_before: datetime
    actor: Actor
