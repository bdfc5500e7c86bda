"""The documents in MongoDB, and pure functions that read them.

Collections of the database `inventory`:

`stock`    `_id` "store/product", `available`, `held`, `sold`: one document for each product.
`actions`  `_id` "store/product/saga": the action of one saga on one product, with all that a
           repeated response needs. `state` is `reserved` or `released`; `quantity` the units
           reserved (0 without a reserve), `released` the units that the release freed, `delta` the
           rest in the user's holding (negative for a release of units of other sagas). `endsAt` is
           when a reserve ends by itself, if it has a time to live. Units that were sold are taken
           back by an action without a `delta`. A transfer has two actions: the second one, named in
           `from`, is in the holding from which the units went.

`products` `_id` "store/product", `title`, `images`, `price` (text, exact), `currency`.

A user's holding of a product is the sum of `delta`, and `held` is that sum over all users.

The action document decides every race between a reserve and a release of the same saga. A reserve
inserts it, so a repeat and a reserve after the release violate its unique key; a release updates it
to `released`, or inserts it so. Actions of different sagas on one product change the same `stock`
document: write conflicts, which the driver retries, put them in order.
"""

import uuid
from collections.abc import AsyncGenerator, AsyncIterable
from datetime import UTC, datetime, timedelta
from typing import Any

from dev.inventory_service.schemas import (
    SAGA_ABORTED,
    ReleaseRequest,
    Reservation,
    ReservationsQuery,
    ReserveRequest,
    StockAnswer,
    TransferRequest,
)

Document = dict[str, Any]


def product_key(store_id: str, product_id: str) -> str:
    return f"{store_id}/{product_id}"  # neither id can hold a slash


def stock_answer(document: Document | None) -> StockAnswer:
    found = document or {"available": 0, "held": 0, "sold": 0}
    return StockAnswer(available=found["available"], held=found["held"], sold=found["sold"])


def new_action(request: ReserveRequest | ReleaseRequest, product: str) -> Document:
    keys = {"store_id", "product_id", "user_id", "saga_id"}
    fields = request.model_dump(by_alias=True, include=keys)
    return {"_id": f"{product}/{request.saga_id}", **fields, "at": datetime.now(UTC)}


def new_reservation(request: ReserveRequest, product: str) -> Document:
    action = new_action(request, product)
    return (
        action
        | _end_of(action["at"], request.ttl_seconds)
        | {
            "state": "reserved",
            "reservationId": uuid.uuid4().hex,
            "quantity": request.quantity,
            "released": 0,
            "delta": request.quantity,
        }
    )


def _end_of(begins: datetime, ttl_seconds: int | None) -> Document:
    if ttl_seconds is None:
        return {}
    return {"endsAt": begins + timedelta(seconds=ttl_seconds)}


def later_reserves(action: Document) -> list[Document]:
    """Sums what the user has reserved of the product after this action.

    These units are released last, so what is left of the action's own is the rest of the holding.
    """
    user = {name: action[name] for name in ("storeId", "userId", "productId")}
    later = {"state": "reserved", "at": {"$gt": action["at"]}}
    return [
        {"$match": user | later},
        {"$group": {"_id": None, "reserved": {"$sum": "$quantity"}}},
    ]


def new_transfer(request: TransferRequest, product: str) -> tuple[Document, Document]:
    """The action of a transfer, and the part of it in the holding from which the units went."""
    common: Document = {
        "storeId": request.store_id,
        "productId": request.product_id,
        "sagaId": request.saga_id,
        "state": "reserved",
        "at": datetime.now(UTC),
    }
    key = f"{product}/{request.saga_id}"
    came = (
        common
        | _end_of(common["at"], request.ttl_seconds)
        | {
            "_id": key,
            "from": f"{key}/from",
            "userId": request.to_user_id,
            "reservationId": uuid.uuid4().hex,
            "quantity": request.quantity,
            "released": 0,
            "delta": request.quantity,
        }
    )
    went = common | {
        "_id": f"{key}/from",
        "userId": request.from_user_id,
        "quantity": 0,
        "released": 0,
        "delta": -request.quantity,
    }
    return came, went


def holding_pipeline(store_id: str, user_id: str, product_id: str) -> list[Document]:
    """Sums what a user holds of the product; covered by the index `holding`."""
    user = {"storeId": store_id, "userId": user_id, "productId": product_id}
    return [{"$match": user}, {"$group": {"_id": None, "held": {"$sum": "$delta"}}}]


def to_release(request: ReleaseRequest, action: Document | None, held: int) -> int:
    """The units that a first release frees; `action` is the reserve of its saga, if any."""
    if action is not None:
        # A release of another saga may have freed some of the units.
        return min(int(action["quantity"]), held)
    return 0 if request.reason == SAGA_ABORTED else min(request.quantity, held)


HOLDING = "holding"
"""The index of holdings by user and product, in the order of the list."""
HOLDING_ORDER = [("storeId", 1), ("userId", 1), ("productId", 1)]
HOLDING_FIELDS = {"_id": 0, "userId": 1, "productId": 1, "delta": 1}


def reservations_filter(query: ReservationsQuery) -> Document:
    """The actions of a page and the following ones; covered by the index."""
    match = query.model_dump(by_alias=True, exclude_none=True, exclude={"cursor", "limit"})
    if query.cursor is None:
        return match
    user, _, product = query.cursor.rpartition("~")  # no product has one
    # The range uses the index; `$or` excludes the rows before the cursor.
    after = {
        "userId": {"$gte": user},
        "$or": [{"userId": {"$gt": user}}, {"productId": {"$gt": product}}],
    }
    return {"$and": [match, after]}


async def held_rows(actions: AsyncIterable[Document]) -> AsyncGenerator[Reservation, None]:
    """Rows of the list, from actions in its order; reads lazily."""
    user, product, quantity = "", "", 0
    async for action in actions:
        if (action["userId"], action["productId"]) != (user, product):
            if quantity > 0:
                yield Reservation(user_id=user, product_id=product, quantity=quantity)
            user, product, quantity = action["userId"], action["productId"], 0
        quantity += action["delta"]
    if quantity > 0:
        yield Reservation(user_id=user, product_id=product, quantity=quantity)
