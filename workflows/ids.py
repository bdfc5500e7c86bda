"""All names that Temporal and operators see: ids, search attributes, signals, queries.

Ids and search attributes are plain text in the server: no email, no raw idempotency key.
"""

import hashlib
import json
from datetime import datetime
from urllib.parse import unquote

from models.actor import Actor
from models.cart import CartKey
from models.operations import CartOperation
from models.saga import SagaRun
from models.user_id import bounded_path_safe, hashed, path_safe
from models.wire import to_milliseconds

MARK_PRODUCT = "MarkProduct"
RELAY = "Relay"
SWEEP = "Sweep"
EXPIRY = "Expiry"
ABANDONMENT = "Abandonment"
END_HOLDS = "EndHolds"
END_CHECKOUTS = "EndCheckouts"
FIGURES = "Figures"
RECONCILE = "Reconcile"
WATCH_HOLDS = "WatchHolds"
PING = "Ping"
ERASE = "ErasePersonalData"
AUDIT = "Audit"

SWEEP_SCHEDULE = "cart-sweep"
EXPIRY_SCHEDULE = "cart-expiry"
ABANDONMENT_SCHEDULE = "cart-abandonment"
HOLDS_SCHEDULE = "cart-holds"
CHECKOUTS_SCHEDULE = "cart-checkouts"
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

_WORKFLOW_USER_BYTES = 900
"""Of the 1000 bytes that Temporal allows an id."""
_SAGA_USER_BYTES = 160
"""Keeps a saga id within 255 characters, which is what an inventory can be expected to store."""
_ATTRIBUTE_BYTES = 2000
"""Of the 2048 bytes that Temporal allows a search attribute, as the SDK's JSON text."""
_UNSEARCHABLE = frozenset("'\"`\\")
_OPERATION_ID_DIGITS = 24
_OWNER_DIGITS = 8


def cart_workflow_id(store_id: str, user_id: str) -> str:
    """The id under which every operation on a cart runs: it is the cart's lock.

    `cart/{storeId}/{userId}`, with the user percent-encoded; see `models.user_id`.
    """
    return f"cart/{store_id}/{bounded_path_safe(user_id, _WORKFLOW_USER_BYTES)}"


def user_attribute(user_id: str) -> str:
    """The value of `CartUserId`: the id as it is, or its hash if Temporal cannot search for it."""
    is_short = len(json.dumps(user_id)) <= _ATTRIBUTE_BYTES
    return user_id if is_short and is_searchable(user_id) else hashed(user_id)


def has_hashed_user(workflow_id: str) -> bool:
    """Whether a cart's workflow id has only the hash of its user."""
    return workflow_id.startswith("cart/") and "/sha256:" in workflow_id


def cart_of_workflow(workflow_id: str) -> CartKey | None:
    """The cart of a workflow id; None if the id is no cart's, or has only a hash of the user."""
    kind, _, rest = workflow_id.partition("/")
    store_id, _, user = rest.partition("/")
    cart = CartKey(store_id, unquote(user))
    return cart if kind == "cart" and cart_workflow_id(*cart) == workflow_id else None


def is_searchable(value: str) -> bool:
    """Whether a text can be in a query. Temporal's databases disagree on how to escape quotes."""
    return _UNSEARCHABLE.isdisjoint(value)


def in_query(value: str) -> str:
    """A text as a literal of Temporal's query language; raises `ValueError` for one with quotes."""
    if not is_searchable(value):
        raise ValueError(f"no text for a query: {value!r}")
    return f"'{value}'"


def erase_workflow_id(token: str) -> str:
    """The id of an erasure; the token is a keyed hash of store and user."""
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
    """`cart-{epoch ms}-{userId}-{productId}`; for whole-cart operations the operation's name.

    At most 255 visible ASCII characters: the user is percent-encoded; see `models.user_id`.
    """
    user = bounded_path_safe(user_id, _SAGA_USER_BYTES)
    return f"cart-{round(started_at.timestamp() * 1000)}-{user}-{subject}"


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
    """Identifies a client's intention without exposing its key."""
    return _owned(store_id, user_id, f"{store_id}|{path_safe(user_id)}|{idempotency_key}")


def event_operation_id(topic: str, event_id: str, cart: CartKey) -> str:
    """Identifies what an event does to one cart; no client's key can collide with it."""
    text = f"{topic}|{cart.store_id}|{path_safe(cart.user_id)}|{event_id}"
    return _owned(cart.store_id, cart.user_id, text)


def is_operation_of(operation_id: str, store_id: str, user_id: str) -> bool:
    """Whether an operation id was made for this user of the store.

    Refuses the ids of others, and ids that were made up, without looking for them anywhere.
    """
    digest = operation_id[:_OPERATION_ID_DIGITS]
    return operation_id == digest + _owner_digits(store_id, user_id, digest)


def _owned(store_id: str, user_id: str, text: str) -> str:
    """An id of 32 hexadecimal digits: of the text's hash, and of its user for `is_operation_of`."""
    digest = _hex(text)[:_OPERATION_ID_DIGITS]
    return digest + _owner_digits(store_id, user_id, digest)


def _owner_digits(store_id: str, user_id: str, digest: str) -> str:
    return _hex(f"{store_id}|{path_safe(user_id)}|{digest}")[:_OWNER_DIGITS]


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
