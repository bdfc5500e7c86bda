"""Answers that several routes give."""

from http import HTTPStatus

from api.errors import RETRY_AFTER, Answer
from api.schemas import Accepted
from models.wire import to_json

BASE_PATH = "/api/v1/cart"


def accepted(store_id: str, operation_id: str) -> Answer:
    """202: the operation goes on, and its URL says how it ends."""
    body = Accepted(message="Cart operation accepted", operation_id=operation_id)
    location = f"{BASE_PATH}/{store_id}/operations/{operation_id}"
    headers = {"Location": location, **RETRY_AFTER}
    return Answer(HTTPStatus.ACCEPTED, to_json(body), headers)
