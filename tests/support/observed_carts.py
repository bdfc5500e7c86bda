"""Observed states of one cart of one user, to check the invariants of the fault tests with."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from models.actor import ActorType
from tests.faults.cart_requests import (
    BY_SCHEDULE,
    WORKFLOW_TYPES,
    CartAction,
    CartRequest,
    RetryHabit,
)
from tests.faults.expected_carts import expected_carts_of, unchanging_of
from tests.faults.observed_state import ObservedState
from tests.faults.shoppers import Ledger

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CART = "0" * 24


def request(action: CartAction, number: int, quantity: int, **more: Any) -> CartRequest:
    """A request about lamps in the cart."""
    key = f"{action}-{number}"
    return CartRequest(
        number, "user", "lamp", quantity, key, RetryHabit.RETRIES, action, CART, **more
    )


def record_of(observed: ObservedState, one: CartRequest, version: int | None) -> dict[str, Any]:
    """The record of a committed request."""
    by_schedule = one.action in BY_SCHEDULE.values()
    return {
        "state": "committed",
        "operation": WORKFLOW_TYPES[one.action],
        "userId": one.user_id,
        "cartId": CART,
        "version": version,
        "at": NOW + timedelta(seconds=version or 0),
        "operationId": observed.ledger.operation_id(one),
        "actor": {"type": ActorType.SCHEDULE if by_schedule else ActorType.USER},
        "frozen": None,
        "short": None,
        "lines": [],
        "effects": [],
    }


def expect(observed: ObservedState, *committed: CartRequest) -> None:
    """Derives the carts of these requests, which the records are of."""
    known = list(zip(observed.records, committed, strict=True))
    observed.expected_carts, observed.unchanging = expected_carts_of(known), unchanging_of(known)


def state_after(*committed: CartRequest) -> ObservedState:
    """The state after these committed requests, one after the other."""
    observed = ObservedState(Ledger(cast(Any, None)), [])
    observed.records = [
        record_of(observed, one, version) for version, one in enumerate(committed, 1)
    ]
    expect(observed, *committed)
    return observed
