"""From how an operation ended to what its client is told.

The mapping itself is `api.errors`; here are the reads that it needs.
"""

from dataclasses import dataclass
from typing import Literal

from api.entity_tags import cart_answer, etag_headers
from api.errors import Answer, abort_answer, not_found, refusal_answer
from api.reading import show_committed
from api.state import ApiState, Carts
from models.messages import CartOperation, OperationResult, Outcome, Refusal
from models.operation import Answer as StoredAnswer

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
    if result.outcome is Outcome.UNCHANGED:
        cart = await carts.cart_by_id(result.cart_id or "")
        return Ended("committed", cart_answer(cart) if cart else not_found("Cart").answer)
    if answer is None:
        record = await carts.record(result.run_id)
        if record is None or record.answer is None:
            raise LookupError(f"run {result.run_id} is {result.outcome} and has no answer")
        answer = record.answer
    return committed(answer, replayed=result.outcome is Outcome.REPLAYED)


async def answered_before(state: ApiState, request: CartOperation) -> Ended | None:
    """The answer that this operation has had already, so that no saga needs to be started.

    Only a shorter way: a saga that finds its operation committed ends in the same way.
    """
    record = await state.carts.committed_record(request.operation_id)
    if record is None or record.answer is None:
        return None
    if record.fingerprint != request.fingerprint:
        refusal = Refusal(code="idempotency_key_reused")
        return Ended("rejected", refusal_answer(record.operation, refusal))
    await show_committed(state, record)
    return committed(record.answer, replayed=True)


def committed(answer: StoredAnswer, *, replayed: bool = False) -> Ended:
    """A committed operation: the same status and the same text for ever."""
    body = answer.body.encode()
    headers = etag_headers(body) | ({"Idempotent-Replayed": "true"} if replayed else {})
    return Ended("committed", Answer(answer.status, body, headers))
