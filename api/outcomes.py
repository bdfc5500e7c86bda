"""From how an operation ended to its client's answer.

The mapping itself is `api.errors`; here are the reads that it needs.
"""

from http import HTTPStatus

from api.entity_tags import cart_answer, etag_headers
from api.error_codes import ErrorCode
from api.errors import RETRY_AFTER, Answer, abort_answer, not_found, refusal_answer
from api.routing import BASE_PATH
from api.schemas import Accepted
from api.state import ApiState
from models.cart import cart_fields, cart_json
from models.operations import Checkout, RemoveItem
from models.operations.checkout import checkout_fields
from models.operations.remove_item import REMOVED
from models.outcomes import OperationResult, Outcome, StoredAnswer
from models.wire import to_json

NO_LONGER_KEPT = "The operation was committed; its answer is no longer kept"


async def answer_to(state: ApiState, result: OperationResult, *, strict: bool = False) -> Answer:
    """The answer to an operation that has ended; `strict` as in `refusal_answer`.

    A committed one is answered with the stored status and text, now and on every repeat; after a
    day, where the text was large, with the cart as it is.
    """
    match result.outcome:
        case Outcome.REJECTED if result.refusal is not None:
            return refusal_answer(result.operation, result.refusal, strict=strict)
        case Outcome.ABORTED:
            return abort_answer(result.reason)
        case Outcome.UNCHANGED:
            cart = await state.carts.cart_by_id(result.cart_id or "")
            return cart_answer(cart) if cart else not_found(ErrorCode.CART_NOT_FOUND).answer
    stored = result.answer or await _stored_answer(state, result.record_id)
    body = (stored.body or "").encode()
    headers = etag_headers(body)
    if result.outcome is Outcome.REPLAYED:
        headers["Idempotent-Replayed"] = "true"
    return Answer(HTTPStatus(stored.status), body, headers)


async def _stored_answer(state: ApiState, record_id: str) -> StoredAnswer:
    """The answer of a committed operation; where it is kept no more, the cart as it is."""
    record = await state.operations.record(record_id)
    if record is None or record.answer is None:
        raise LookupError(f"record {record_id} has no answer")
    answer = await state.operations.answer(record)
    if answer is not None:
        return answer
    cart = await state.carts.cart(record.key)
    if cart is None:
        body = to_json({"message": NO_LONGER_KEPT})
    elif record.operation == Checkout.name:
        ours = cart.checkout is not None and cart.checkout.checkout_id == record.operation_id
        body = to_json(checkout_fields(cart.id, cart) if ours else {"message": NO_LONGER_KEPT})
    elif record.operation == RemoveItem.name:
        body = to_json({"message": REMOVED, "cart": cart_fields(cart.id, cart)})
    else:
        body = cart_json(cart.id, cart)
    return record.answer.model_copy(update={"body": body.decode()})


def accepted(store_id: str, operation_id: str) -> Answer:
    """202: the operation is still running; `Location` is the URL of its status."""
    body = Accepted(message="Cart operation accepted", operation_id=operation_id)
    location = f"{BASE_PATH}/{store_id}/operations/{operation_id}"
    return Answer(HTTPStatus.ACCEPTED, to_json(body), {"Location": location, **RETRY_AFTER})
