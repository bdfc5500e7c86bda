"""The history of a cart as it is answered: its user sees kinds of actors, an admin also who."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from typing_extensions import TypeAliasType

from adapters.mongo.history import PastChange
from api.schemas import ResponseBody
from models.actor import ActorType
from models.cart import CartKey
from models.cart_line import AvailabilityStatus, LineChange
from models.events import ActorKind
from models.money import Money
from models.privacy import ERASED
from models.wire import Absent
from workflows.ids import cart_workflow_id
from workflows.pages import Pages

MAX_ITEMS = 1000
"""The most items on a page, which bounds its bytes."""

ChangedBy = TypeAliasType("ChangedBy", Literal["user", "admin", "system"])
_CHANGED_BY: dict[ActorType, ChangedBy] = {
    ActorType.USER: "user",
    ActorType.GUEST: "user",
    ActorType.ADMIN: "admin",
}


class HistoryItem(ResponseBody):
    """What a change did to the item of a product."""

    product_id: str
    quantity_before: int
    """Its units before the change; 0 if it was not in the cart."""
    quantity_after: int
    """Its units after the change; 0 if it was removed."""
    product_price: Money
    """The price of one unit after the change or, of an item that was removed, before it."""
    availability_status: AvailabilityStatus | None = Absent
    """Whether it is in stock, if the change was about that."""


class HistoryActor(ResponseBody):
    """Who or what caused a change."""

    type: ActorKind
    id: str
    """The id of a user or admin, the name of an operator or schedule, the topic and id of an
    event."""


class HistoryEntry(ResponseBody):
    """One change of the cart."""

    version: int
    """The cart's version after the change."""
    at: datetime
    """When the change was requested."""
    operation: str
    """The operation's name, such as `AddItem`."""
    reason: str | None = Absent
    """Why the cart was deleted: `user`, `order_completed`, `expired`, `cart_merged` or
    `privacy_erasure`."""
    changed_by: ChangedBy
    """The cart's `user`, an `admin` of the store, or the `system`."""
    items: tuple[HistoryItem, ...]
    """The items that have changed."""
    actor: HistoryActor | None = Absent
    """For admins of the store: who caused it."""
    operation_id: str | None = Absent
    """For admins of the store: the operation's id."""
    saga_url: str | None = Absent
    """For admins of the store: its page in the Temporal Web UI, while Temporal keeps it."""


class HistoryPage(ResponseBody):
    """A page of a cart's history, the newest change first."""

    cart_id: str
    changes: tuple[HistoryEntry, ...]
    next_cursor: str | None = Absent
    """The `cursor` of the next page; absent on the last one."""


def history_page(
    cart_id: str, key: CartKey, changes: Sequence[PastChange], *, limit: int, pages: Pages | None
) -> HistoryPage:
    """A page of at most `limit` changes and, unless it has only one, `MAX_ITEMS` items.

    There is another page if not all of `changes` are on this one. `pages` is given for an admin.
    """
    shown: list[PastChange] = []
    items = 0
    for change in changes[:limit]:
        items += len(change.lines)
        if shown and items > MAX_ITEMS:
            break
        shown.append(change)
    return HistoryPage(
        cart_id=cart_id,
        changes=tuple(_entry(change, key, pages) for change in shown),
        next_cursor=str(shown[-1].version) if len(shown) < len(changes) else None,
    )


def _entry(change: PastChange, key: CartKey, pages: Pages | None) -> HistoryEntry:
    entry = HistoryEntry(
        version=change.version,
        at=change.at,
        operation=change.operation,
        reason=change.reason,
        changed_by=_CHANGED_BY.get(change.actor.type, "system"),
        items=tuple(map(_item, change.lines)),
    )
    if pages is None:
        return entry
    return entry.model_copy(
        update={
            "actor": HistoryActor(type=change.actor.type.value, id=change.actor.id),
            "operation_id": change.operation_id,
            "saga_url": _page(change, key, pages),
        }
    )


def _item(line: LineChange) -> HistoryItem:
    return HistoryItem(
        product_id=line.product_id,
        quantity_before=line.before,
        quantity_after=line.after,
        product_price=line.price,
        availability_status=line.availability,
    )


def _page(change: PastChange, key: CartKey, pages: Pages) -> str | None:
    """The run's page. What a schedule does in MongoDB has no run of the cart: its latest one."""
    if change.saga_id == ERASED:
        return None
    is_scheduled = change.actor.type is ActorType.SCHEDULE
    return pages.workflow(cart_workflow_id(*key), None if is_scheduled else change.run_id)
