"""Every name that Temporal and operators see: ids, search attributes, signals, queries.

Ids and search attributes are plain text in the server: no email, no raw idempotency key.
"""

import hashlib
from datetime import datetime

ADD_ITEM = "AddItem"
UPDATE_QUANTITY = "UpdateQuantity"
REMOVE_ITEM = "RemoveItem"
CLEAR_CART = "ClearCart"
REPAIR_CART = "RepairCart"
MARK_AVAILABILITY = "MarkAvailability"
MARK_PRODUCT = "MarkProduct"
RELAY = "Relay"
SWEEP = "Sweep"
EXPIRY = "Expiry"
FIGURES = "Figures"
RECONCILE = "Reconcile"
WATCH_HOLDS = "WatchHolds"
PING = "Ping"

SWEEP_SCHEDULE = "cart-sweep"
EXPIRY_SCHEDULE = "cart-expiry"
FIGURES_SCHEDULE = "cart-figures"
RECONCILE_SCHEDULE = "cart-reconcile"
WATCH_SCHEDULE = "cart-watch"

# Signals of operators; each carries why, and who says so.
ABORT = "abort"  # to a saga: undo what is not yet committed

# … and to a relay, which whoever left something pending wakes
WAKE = "wake"
RETRY_NOW = "retry_now"
PAUSE = "pause"
RESUME = "resume"
SKIP = "skip"

PENDING = "pending"  # query to a relay

STORE_ID = "CartStoreId"
USER_ID = "CartUserId"
CART_ID = "CartId"
PRODUCT_ID = "CartProductId"
OPERATION = "CartOperation"
OPERATION_ID = "CartOperationId"
ORDER_ID = "CartOrderId"
EVENT_ID = "CartEventId"
OUTCOME = "CartOutcome"
ATTENTION = "CartAttention"

SEARCH_ATTRIBUTES = {
    STORE_ID: "Keyword",
    USER_ID: "Keyword",
    CART_ID: "Keyword",
    PRODUCT_ID: "Keyword",
    OPERATION: "Keyword",
    OPERATION_ID: "Keyword",
    ORDER_ID: "Keyword",
    EVENT_ID: "Keyword",
    OUTCOME: "Keyword",
    ATTENTION: "Bool",
}
"""Search attributes the namespace must have: name -> type."""

MEMO_OPERATION_ID = "operationId"
MEMO_ATTEMPT_ID = "attemptId"


def cart_workflow_id(store_id: str, user_id: str) -> str:
    """The id under which every operation on a cart runs: it is the cart's lock."""
    return f"cart/{store_id}/{user_id}"


def relay_workflow_id(kind: str, shard: int) -> str:
    """The id of the one relay that does a shard's effects of a kind, `events` or `releases`."""
    return f"relay/{kind}/{shard}"


def product_workflow_id(product_id: str, operation_id: str) -> str:
    """The id under which the news of a product is brought to its carts, once for each event."""
    return f"product/{product_id}/{operation_id}"


def reconcile_workflow_id(store_id: str | None) -> str:
    """The id of a reconciling that an operator has started, of a store or of all."""
    return f"reconcile/{store_id}" if store_id else "reconcile"


def saga_id(started_at: datetime, user_id: str, subject: str) -> str:
    """`cart-{epoch ms}-{userId}-{productId}`; for whole-cart operations the operation's name."""
    return f"cart-{round(started_at.timestamp() * 1000)}-{user_id}-{subject}"


def operation_id(store_id: str, user_id: str, idempotency_key: str) -> str:
    """Names a client's intention without telling its key; ids cannot contain the separator."""
    text = f"{store_id}|{user_id}|{idempotency_key}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def event_operation_id(topic: str, event_id: str, store_id: str, user_id: str) -> str:
    """Names what an event does to one cart; no client's key can be mistaken for it."""
    text = f"{topic}|{store_id}|{user_id}|{event_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
