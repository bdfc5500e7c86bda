"""Hooks for schemathesis: rules across fields, and responses that depend on the stored state.

The schemathesis process imports this module by its name in `schemathesis.toml`.
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
"""The variable with the name of the file for the counts of statuses by operation."""

_NOT_ITS_FORM = {404, 409, 412, 422, 503}
"""Statuses that depend on the stored state or on a busy machine, for any valid request;
`tests.contract.fuzz` counts the 503."""
_PATIENCE_SECONDS = 60
_INTEGERS = {
    *("quantity", "ttlSeconds"),
    *("expiryDays", "maxLines", "maxQuantity", "maxUnits", "maxValue"),
}
_OPTIONAL = {"productImage", "productDescription", "email", "sellerId", "idempotencyKey"}
_ABOUT_STATE = {
    *("insufficient_stock", "product_not_accepted"),
    *("quantity_limit", "line_limit", "unit_limit", "value_limit", "size_limit"),
    # A token is any text in the document.
    "guest_token_invalid",
}
"""The codes of refusals that depend on the stored state, or on what a token says."""
_SETTINGS = "/admin/stores/{storeId}/settings"

_statuses: Counter[str] = Counter()


@schemathesis.hook
def before_call(_: HookContext, case: Case[Any], __: dict[str, Any]) -> None:
    """Changes a valid request so that it keeps the rules that JSON Schema cannot express, and an
    invalid one so that it is not what the service tolerates."""
    if not _is_valid(case):
        _without_nulls(case)
        return
    if case.path == "/api/v1/cart/{storeId}/store" and case.headers:
        # With If-Match an add needs a cart, so that no request would create one.
        case.headers.pop("If-Match", None)
    if not isinstance(case.body, dict):
        # The product to remove is in the body or in the query.
        if case.operation.label == "DELETE /api/v1/cart/{id}":
            case.query = {"productId": "product-0"} | (case.query or {})
        return
    # A value that is given twice must be equal.
    if "productId" in (case.query or {}):
        case.query["productId"] = case.body["productId"]
    if "Idempotency-Key" in (case.headers or {}):
        case.body.pop("idempotencyKey", None)
    body: dict[str, Any] = {name: _kept(name, value) for name, value in case.body.items()}
    if "operations" in body:
        body["operations"] = [_of_its_op(one) for one in _operations(body)]
    if case.path == _SETTINGS and "holdMinutes" in body:
        body["holdMaxMinutes"] = max(body["holdMinutes"], body.get("holdMaxMinutes", 1))
    case.body = body


def _without_nulls(case: Case[Any]) -> None:
    """An optional field that is null counts as absent, which the document does not offer."""
    if not isinstance(case.body, dict):
        return
    for part in (case.body, *_operations(case.body)):
        part |= {name: 7 for name in _OPTIONAL if part.get(name, 7) is None}
    if case.path == _SETTINGS:
        case.body |= {name: "?" for name, value in case.body.items() if value is None}


def _operations(body: Any) -> list[dict[str, Any]]:
    """The operations of a batch."""
    found = body.get("operations")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _of_its_op(operation: dict[str, Any]) -> dict[str, Any]:
    """An operation of a batch with the fields of its `op`: each is as its own route requires."""
    op, product_id = operation["op"], operation["productId"]
    if op == "remove":
        return {"op": op, "productId": product_id}
    quantity = _kept("quantity", operation.get("quantity", 1))
    if op == "set":
        return {"op": op, "productId": product_id, "quantity": quantity}
    price = _kept("productPrice", operation.get("productPrice", 1))
    return {"productTitle": "Title", **operation, "quantity": quantity, "productPrice": price}


def _kept(name: str, value: Any) -> Any:
    """2.0 is an integer in JSON Schema; the contract requires it without a fraction. A price has at
    most two decimals."""
    if name in _INTEGERS and isinstance(value, float):
        return int(value)
    return round(value, 2) if name == "productPrice" else value


@schemathesis.hook
def after_call(_: HookContext, case: Case[Any], response: Response) -> None:
    """Counts the status, and waits for the end of an operation that was accepted with 202.

    The checks take any 2xx for the end of an operation.
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
    """A valid request is only refused because of the stored state."""
    if not _is_valid(case) or response.status_code < 400 or response.status_code in _NOT_ITS_FORM:
        return
    assert response.status_code == 400, (
        "a valid request got a status that the stored state does not explain"
    )
    assert _is_about_state(response.json()), "a valid request was refused as invalid"


def _is_valid(case: Case[Any]) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


def _is_about_state(body: dict[str, Any]) -> bool:
    """Whether a 400 is from the inventory, or about the contents of the cart."""
    codes = {body["code"], *(detail["code"] for detail in body.get("details", []))}
    return not codes.isdisjoint(_ABOUT_STATE)


@atexit.register
def _write_statuses() -> None:
    if name := os.environ.get(STATUSES_FILE):
        Path(name).write_text(json.dumps(_statuses))
