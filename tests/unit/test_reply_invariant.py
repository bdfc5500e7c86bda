"""A success reply to an update without a record is right only if the line had the quantity."""

from datetime import UTC, datetime
from typing import Any, cast

import orjson
import pytest

from tests.faults.cart_requests import CartAction, CartRequest, ClientReply, RetryHabit
from tests.faults.expected_carts import expected_carts_of
from tests.faults.invariants import replies_match_what_was_committed
from tests.faults.observed_state import ObservedState
from tests.faults.shoppers import Ledger

CART = "6b0bf85350ebdec0028f2514"


def request(
    action: CartAction, quantity: int, *, sent_at: float, received_at: float, shows: tuple[int, int]
) -> CartRequest:
    """A request for the product, and its reply, which shows the cart's version and quantity."""
    version, units = shows
    body = {
        "_id": CART,
        "version": version,
        "cartItems": [{"productId": "desk", "productQuantity": units}],
    }
    status = 201 if action is CartAction.ADD else 200
    sent = CartRequest(
        version, "user", "desk", quantity, f"key-{sent_at}", RetryHabit.NEVER_RETRIES
    )
    sent.action = action
    sent.replies.append(ClientReply(action, status, orjson.dumps(body), sent_at, received_at))
    return sent


@pytest.mark.parametrize(
    ("sent_at", "shows", "found"),
    [
        pytest.param(3.0, (1, 4), 0, id="it had the quantity"),
        pytest.param(4.0, (2, 7), 0, id="it had the quantity, and was changed before the reply"),
        pytest.param(9.0, (2, 7), 1, id="it was changed before the request"),
        pytest.param(3.0, (8, 5), 1, id="the version that is shown was never made"),
    ],
)
def test_an_update_without_a_record_is_right_if_its_line_had_the_quantity(
    sent_at: float, shows: tuple[int, int], found: int
) -> None:
    added = request(CartAction.ADD, 4, sent_at=1.0, received_at=2.0, shows=(1, 4))
    updated = request(CartAction.INCREASE, 7, sent_at=5.0, received_at=6.0, shows=(2, 7))
    unrecorded = request(CartAction.INCREASE, 4, sent_at=sent_at, received_at=10.0, shows=shows)
    observed = ObservedState(Ledger(cast(Any, None)), [])
    observed.ledger.requests = [added, updated, unrecorded]
    made = [
        (
            {
                "state": "committed",
                "operation": one.action,
                "operationId": observed.ledger.operation_id(one),
                "userId": "user",
                "cartId": CART,
                "version": version,
                "at": datetime(2026, 1, version, tzinfo=UTC),
            },
            one,
        )
        for version, one in enumerate([added, updated], start=1)
    ]
    observed.records = [record for record, _ in made]
    observed.expected_carts = expected_carts_of(made)
    assert len(list(replies_match_what_was_committed(observed))) == found
