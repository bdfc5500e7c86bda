"""From how an operation ended to its client's answer.

The mapping itself is `api.errors`; here are the reads that it needs.
"""

from http import HTTPStatus

from api.entity_tags import cart_answer, etag_headers
from api.errors import RETRY_AFTER, Answer, abort_answer, not_found, refusal_answer
from api.routing import BASE_PATH
from api.schemas import Accepted
from api.state import ApiState
from models.outcomes import OperationResult, Outcome
from models.wire import to_json


async def answer_to(state: ApiState, result: OperationResult) -> Answer:
    """The answer to an operation that has ended.

    A committed one is answered with the stored status and text, now and on every repeat.
    """
    match result.outcome:
        case Outcome.REJECTED if result.refusal is not None:
            return refusal_answer(result.operation, result.refusal)
        case Outcome.ABORTED:
            return abort_answer(result.reason)
        case Outcome.UNCHANGED:
            cart = await state.carts.cart_by_id(result.cart_id or "")
            return cart_answer(cart) if cart else not_found("Cart").answer
    stored = result.answer
    if stored is None:
        record = await state.operations.record(result.record_id)
        if record is None or record.answer is None:
            raise LookupError(f"record {result.record_id} has no answer")
        stored = record.answer
    body = stored.body.encode()
    headers = etag_headers(body)
    if result.outcome is Outcome.REPLAYED:
        headers["Idempotent-Replayed"] = "true"
    return Answer(HTTPStatus(stored.status), body, headers)


def accepted(store_id: str, operation_id: str) -> Answer:
    """202: the operation is still running; `Location` is the URL of its status."""
    body = Accepted(message="Cart operation accepted", operation_id=operation_id)
    location = f"{BASE_PATH}/{store_id}/operations/{operation_id}"
    return Answer(HTTPStatus.ACCEPTED, to_json(body), {"Location": location, **RETRY_AFTER})
