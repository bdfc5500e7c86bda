"""From how an operation ended to what its client is told.

The mapping itself is `api.errors`; here are the reads that it needs, and the cart's own.
"""

import logging
from dataclasses import dataclass
from typing import Literal

from api.errors import Answer, abort_answer, refusal_answer
from api.state import ApiState, Carts
from models.changes import cart_json
from models.errors import DependencyUnavailable
from models.messages import CartOperation, OperationResult, Outcome, Refusal
from models.operation import Answer as StoredAnswer

logger = logging.getLogger(__name__)

Status = Literal["committed", "rejected", "aborted"]


@dataclass(frozen=True, slots=True)
class Ended:
    """An operation that has ended, and what its client is told."""

    status: Status
    answer: Answer


async def ended(carts: Carts, result: OperationResult, answer: StoredAnswer | None = None) -> Ended:
    """How an operation ended; a committed one's answer is read from its record unless given."""
    if result.outcome is Outcome.REJECTED and result.refusal is not None:
        return Ended("rejected", refusal_answer(result.operation, result.refusal))
    if result.outcome is Outcome.ABORTED:
        return Ended("aborted", abort_answer(result.reason))
    if answer is None:
        record = await carts.record(result.run_id)
        if record is None or record.answer is None:
            raise LookupError(f"run {result.run_id} is {result.outcome} and has no answer")
        answer = record.answer
    return committed(answer, replayed=result.outcome is Outcome.REPLAYED)


async def answered_before(carts: Carts, request: CartOperation) -> Ended | None:
    """The answer that this operation has had already, so that no saga needs to be started.

    Only a shorter way: a saga that finds its operation committed ends in the same way.
    """
    record = await carts.committed_record(request.operation_id)
    if record is None or record.answer is None:
        return None
    if record.fingerprint != request.fingerprint:
        refusal = Refusal(code="idempotency_key_reused")
        return Ended("rejected", refusal_answer(record.operation, refusal))
    return committed(record.answer, replayed=True)


async def show_cart(state: ApiState, store_id: str, user_id: str) -> bytes | None:
    """The user's cart as MongoDB has it, and from now on the cache; None when there is none.

    Also before a committed answer is repeated: its saga may not have come to show the cart yet (its
    worker died), and who has heard the answer must not read an older cart.
    """
    cart = await state.carts.cart(store_id, user_id)
    if cart is None:
        return None
    body = cart_json(cart.id, cart)
    if state.policy.cache:
        try:
            await state.cache.put(
                store_id, user_id, created_at=cart.created_at, version=cart.version, body=body
            )
        except DependencyUnavailable as error:  # the breaker warns, once
            logger.debug("Cart was not cached: %s", error)
    return body


def committed(answer: StoredAnswer, *, replayed: bool = False) -> Ended:
    """A committed operation: the same status and the same text for ever."""
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    return Ended("committed", Answer(answer.status, answer.body.encode(), headers))
