"""What schemathesis cannot know from the document: rules across fields, and answers of the state.

Imported by schemathesis' own process, by the name in `schemathesis.toml`.
"""

import atexit
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

STATUSES_FILE = "CART_FUZZ_STATUSES"
"""The variable that names the file for how often each operation was answered with each status."""

_NOT_ITS_FORM = {404, 409, 412, 422, 503}
"""No such cart or product, busy, changed by others, a key of another request, and a call that took
too long on a busy machine, which `tests.contract.fuzz` counts."""
_PATIENCE_SECONDS = 60
_INTEGERS = {"quantity", "ttlSeconds"}
_HELD = ("already holds", "already has", "Cart must not be worth")

_statuses: Counter[str] = Counter()


@schemathesis.hook
def before_call(_: HookContext, case: Case[Any], __: dict[str, Any]) -> None:
    """Lets a valid request keep the rules that JSON Schema cannot state."""
    if not _is_valid(case):
        return
    if case.path == "/api/v1/cart/{storeId}/store" and case.headers:
        # With it an add needs a cart that is there, and then nothing would ever make one.
        case.headers.pop("If-Match", None)
    if not isinstance(case.body, dict):
        # The product to remove is named in the body or in the query.
        if case.operation.label == "DELETE /api/v1/cart/{id}":
            case.query = {"productId": "product-0"} | (case.query or {})
        return
    # What is said twice must be said alike.
    if "productId" in (case.query or {}):
        case.query["productId"] = case.body["productId"]
    if "Idempotency-Key" in (case.headers or {}):
        case.body.pop("idempotencyKey", None)
    # To JSON Schema 2.0 is an integer; the contract wants it without a fraction.
    for name in _INTEGERS & case.body.keys():
        value = case.body[name]
        if isinstance(value, float):
            case.body[name] = int(value)


@schemathesis.hook
def after_call(_: HookContext, case: Case[Any], response: Response) -> None:
    """Counts the answer, and waits for the end of what was only accepted.

    The checks take any 2xx for done, and look at once whether what was deleted is gone.
    """
    _statuses[f"{case.operation.label} {response.status_code}"] += 1
    if response.status_code == requests.codes.accepted:
        url = urljoin(str(response.request.url), response.headers["location"][0])
        headers = {"Authorization": response.request.headers["Authorization"]}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if requests.get(url, headers=headers, timeout=30).json().get("status") != "pending":
                return
            time.sleep(0.5)


@schemathesis.check
def valid_data_is_accepted(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """A valid request is refused for what is stored, never for its form."""
    if not _is_valid(case) or response.status_code < 400 or response.status_code in _NOT_ITS_FORM:
        return
    assert response.status_code == 400, "no other answer can be given to a valid request"
    assert _is_about_state(response.json()), "a valid request is not called invalid"


def _is_valid(case: Case[Any]) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


def _is_about_state(body: dict[str, Any]) -> bool:
    """Whether a 400 is for too few units, or for what the cart holds already."""
    if body.get("code") == "insufficient_stock":
        return True
    details = body.get("details", [])
    return any(held in detail["message"] for detail in details for held in _HELD)


@atexit.register
def _write_statuses() -> None:
    if name := os.environ.get(STATUSES_FILE):
        Path(name).write_text(json.dumps(_statuses))
