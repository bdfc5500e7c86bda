"""All names that Temporal and operators see: ids, search attributes, signals, queries.

Ids and search attributes are plain text in the server: no email, no raw idempotency key.
"""

import hashlib
from datetime import datetime

from models.actor import Actor
from models.cart import CartKey
from models.operations import CartOperation
from models.saga import SagaRun
from models.wire import to_milliseconds

MARK_PRODUCT = "MarkProduct"
RELAY = "Relay"
SWEEP = "Sweep"
EXPIRY = "Expiry"
FIGURES = "Figures"
RECONCILE = "Reconcile"
WATCH_HOLDS = "WatchHolds"
PING = "Ping"
ERASE = "ErasePersonalData"
AUDIT = "Audit"

SWEEP_SCHEDULE = "cart-sweep"
EXPIRY_SCHEDULE = "cart-expiry"
FIGURES_SCHEDULE = "cart-figures"
RECONCILE_SCHEDULE = "cart-reconcile"
WATCH_SCHEDULE = "cart-watch"

# Operators' signals, each with a reason and the operator's name
ABORT = "abort"  # to a saga: undo it unless it has committed

# Signals to a relay; WAKE comes from sagas and the sweep
WAKE = "wake"
RETRY_NOW = "retry_now"
PAUSE = "pause"
RESUME = "resume"
SKIP = "skip"

STATUS = "status"  # query to a relay

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


def in_query(value: str) -> str:
    """A text as a literal of Temporal's query language."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def erase_workflow_id(token: str) -> str:
    """The id of an erasure; the token stands for store and user, and tells nothing about them."""
    return f"erase/{token}"


def relay_workflow_id(kind: str, shard: int) -> str:
    """The id of the one relay that does a shard's effects of a kind, `event` or `release`."""
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


def saga_of(operation: CartOperation, *, run_id: str, started_at: datetime) -> SagaRun:
    """The identity of the saga that carries out an operation; see `saga_run`."""
    return saga_run(
        run_id=run_id,
        started_at=started_at,
        operation=operation.name,
        operation_id=operation.operation_id,
        subject=operation.subject,
        fingerprint=operation.fingerprint,
        store_id=operation.store_id,
        user_id=operation.user_id,
        actor=operation.actor,
    )


def saga_run(
    *,
    run_id: str,
    started_at: datetime,
    operation: str,
    operation_id: str,
    subject: str | None,
    fingerprint: str,
    store_id: str,
    user_id: str,
    actor: Actor,
) -> SagaRun:
    """The identity of a saga, from the start of its first run and its operation."""
    started_at = to_milliseconds(started_at)
    return SagaRun(
        run_id=run_id,
        record_id=record_id(operation_id, started_at),
        saga_id=saga_id(started_at, user_id, subject or operation),
        started_at=started_at,
        operation=operation,
        operation_id=operation_id,
        fingerprint=fingerprint,
        store_id=store_id,
        user_id=user_id,
        actor=actor,
    )


def record_id(operation_id: str, started_at: datetime) -> str:
    """Identifies a saga's record: the same in every try of the saga, also after a reset."""
    return f"{operation_id}-{round(started_at.timestamp() * 1000)}"


def operation_id(store_id: str, user_id: str, idempotency_key: str) -> str:
    """Identifies a client's intention without exposing its key. Ids have no separator in them."""
    text = f"{store_id}|{user_id}|{idempotency_key}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def event_operation_id(topic: str, event_id: str, cart: CartKey) -> str:
    """Identifies what an event does to one cart; no client's key can collide with it."""
    text = f"{topic}|{cart.store_id}|{cart.user_id}|{event_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
