"""The documents in MongoDB, and how they are read; pure functions, no connection.

Collections of the database `inventory`:

`stock`    `_id` "store/product", `available`, `held`, `sold`: one document for each product.
`actions`  `_id` "store/product/saga": what one saga did to one product, and all that is needed to
           answer it again. `state` is `reserved` or `released`; `quantity` is what was reserved (0
           without a reserve), `released` what its release freed, `delta` what is left of it in the
           user's holding (negative for a release of units that other sagas reserved).

A user's holding of a product is the sum of `delta`, and `held` is that sum over all users.

The action document decides every race between a reserve and a release of the same saga. Reserving
inserts it, so a repeat and a reserve after the release meet its unique key; releasing moves it to
`released`, or inserts it so. Actions of different sagas on one product all change its `stock`
document and are put in order by write conflicts, which the driver retries.

What is not here: who writes them, and when (`store.py`).
"""

from collections.abc import AsyncGenerator, AsyncIterable
from datetime import UTC, datetime
from typing import Any

from dev.inventory_service.schemas import (
    SAGA_ABORTED,
    ReleaseRequest,
    Reservation,
    ReservationsPage,
    ReservationsQuery,
    ReserveRequest,
    StockAnswer,
)

Document = dict[str, Any]


def product_key(store_id: str, product_id: str) -> str:
    return f"{store_id}/{product_id}"  # neither id can hold a slash


def stock_answer(document: Document | None) -> StockAnswer:
    if document is None:
        return StockAnswer(available=0, held=0, sold=0)
    return StockAnswer(
        available=document["available"], held=document["held"], sold=document["sold"]
    )


def new_action(request: ReserveRequest | ReleaseRequest, product: str) -> Document:
    return {
        "_id": f"{product}/{request.saga_id}",
        "storeId": request.store_id,
        "productId": request.product_id,
        "userId": request.user_id,
        "sagaId": request.saga_id,
        "at": datetime.now(UTC),
    }


def holding_pipeline(request: ReleaseRequest, user_id: str) -> list[Document]:
    """Pipeline for what a user holds of the product; answered from the index `holding` alone."""
    user = {"storeId": request.store_id, "userId": user_id, "productId": request.product_id}
    return [{"$match": user}, {"$group": {"_id": None, "held": {"$sum": "$delta"}}}]


def to_release(request: ReleaseRequest, action: Document | None, held: int) -> int:
    """How many units a first release frees; `action` is its saga's reserve, if there was one."""
    if action is not None:
        # Part of what this saga reserved may have been freed by a release of another saga.
        return min(int(action["quantity"]), held)
    return 0 if request.reason == SAGA_ABORTED else min(request.quantity, held)


HOLDING = "holding"
"""The index that has a user's holding of a product at one place, in the order of the list."""
HOLDING_ORDER = [("storeId", 1), ("userId", 1), ("productId", 1)]
HOLDING_FIELDS = {"_id": 0, "userId": 1, "productId": 1, "delta": 1}


def reservations_filter(query: ReservationsQuery) -> Document:
    """The actions from which a page and what follows it are made; answered from the index alone."""
    match: Document = {"storeId": query.store_id}
    if query.user_id is not None:
        match["userId"] = query.user_id
    if query.product_id is not None:
        match["productId"] = query.product_id
    if query.cursor is None:
        return match
    user, _, product = query.cursor.partition("~")
    # The range can use the index; the exact place is found within it.
    after = {
        "userId": {"$gte": user},
        "$or": [{"userId": {"$gt": user}}, {"productId": {"$gt": product}}],
    }
    return {"$and": [match, after]}


async def held_rows(actions: AsyncIterable[Document]) -> AsyncGenerator[Reservation, None]:
    """What is held, from actions in the order of the list: read only as far as somebody asks."""
    key, quantity = ("", ""), 0
    async for action in actions:
        its_key = (action["userId"], action["productId"])
        if its_key != key:
            if quantity > 0:
                yield _row(key, quantity)
            key, quantity = its_key, 0
        quantity += action["delta"]
    if quantity > 0:
        yield _row(key, quantity)


def _row(key: tuple[str, str], quantity: int) -> Reservation:
    return Reservation(user_id=key[0], product_id=key[1], quantity=quantity)


def reservations_page(rows: list[Reservation], limit: int) -> ReservationsPage:
    """The page; one row more than `limit` tells that there is a next."""
    found = rows[:limit]
    more = len(rows) > limit
    return ReservationsPage(
        reservations=found,
        cursor=f"{found[-1].user_id}~{found[-1].product_id}" if more else None,
    )
