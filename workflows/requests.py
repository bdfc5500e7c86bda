"""What every operation is requested with: its fields, its settings, what its run is found by."""

import hashlib
from typing import Any
from uuid import uuid4

import orjson
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from models.actor import Actor
from models.cart import CartKey
from models.limits import Policy
from models.operations import CartOperation
from settings import Settings
from workflows import ids


def policy_of(settings: Settings) -> Policy:
    """The policy of stores that set nothing for themselves (`adapters.mongo.store_policies`)."""
    return Policy(
        reserve=settings.enable_inventory_reservation,
        publish=settings.enable_event_publishing,
        cache=settings.enable_cache_invalidation,
        deadline_seconds=settings.lock_ttl,
        max_lines=settings.cart_max_lines,
        max_bytes=settings.cart_max_bytes,
        max_quantity=settings.cart_max_quantity,
        max_units=settings.cart_max_units,
        max_value=settings.cart_max_value,
        expiry_days=settings.cart_expiry_days,
        hold_seconds=settings.hold_minutes * 60,
        hold_max_seconds=settings.hold_max_minutes * 60,
        checkout_seconds=settings.checkout_minutes * 60,
        currency=settings.currency,
        abandon_seconds=settings.abandoned_after_minutes * 60,
    )


def fingerprint(operation: str, request: dict[str, Any]) -> str:
    """Hash of a request's content, whatever its spelling; the key is not part of it."""
    text = orjson.dumps([operation, request], default=str, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


def operation_fields(
    operation: type[CartOperation],
    cart: CartKey,
    *,
    operation_id: str,
    requested: dict[str, Any],
    actor: Actor,
    policy: Policy = Policy(),  # noqa: B008 (frozen)
) -> dict[str, Any]:
    """The fields that every operation has; a repeat must have the same `requested` content.

    The API sets the `policy` when it starts the operation.
    """
    return {
        "store_id": cart.store_id,
        "user_id": cart.user_id,
        "operation_id": operation_id,
        # Identifies this try, so that a start whose answer was lost is found.
        "attempt_id": uuid4().hex,
        "fingerprint": fingerprint(operation.name, requested),
        "actor": actor,
        "policy": policy,
    }


def search_attributes_of(request: CartOperation) -> TypedSearchAttributes:
    """What an operation's run is found by."""
    about = request.references
    values = {
        ids.STORE_ID: request.store_id,
        ids.USER_ID: ids.user_attribute(request.user_id),
        ids.PRODUCT_ID: request.subject,
        ids.OPERATION: request.name,
        ids.OPERATION_ID: request.operation_id,
        ids.CART_ID: about.get("cart"),
        ids.ORDER_ID: about.get("order"),
        ids.EVENT_ID: about.get("event"),
    }
    return TypedSearchAttributes(
        [
            SearchAttributePair(SearchAttributeKey.for_keyword(name), value)
            for name, value in values.items()
            if value is not None
        ]
    )
