"""Several changes of the user's cart at once."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api import openapi as docs
from api import openapi_headers as shown
from api.batch_bodies import BatchBody, BatchCart, BatchOperationBody
from api.dependencies import Call, CallDep, StoreId
from api.error_codes import ErrorCode
from api.errors import Answer, in_progress, invalid, refusal_answer
from api.field_problems import broken
from api.performing import (
    ChangeHeader,
    ChangeHeaders,
    RequestKey,
    common_fields,
    perform,
    request_key,
    requested_by,
    shopper_of,
)
from api.routing import BASE_PATH, CartRoute
from models.batch import BatchProduct, BatchStep
from models.cart import CartKey
from models.operations import ApplyBatch
from models.outcomes import MissingUnits, Refusal, RefusalCode

router = APIRouter(prefix=BASE_PATH, tags=["Cart"], route_class=CartRoute, responses=docs.PROTECTED)


def _refusal(code: RefusalCode, **facts: Any) -> Answer:
    return refusal_answer(ApplyBatch.name, Refusal(code=code, **facts))


_REFUSED = docs.refused(
    "An operation is invalid, the cart would exceed a limit, or a product cannot be reserved. "
    "`field` or `operation` is its place in the batch.",
    shown.IDEMPOTENCY_KEY,
    quantity=invalid(broken("quantity", ErrorCode.OUT_OF_RANGE, field="operations[0].quantity")),
    limit=_refusal(RefusalCode.QUANTITY_LIMIT, current=99, limit=100, step=0),
    units=_refusal(RefusalCode.UNIT_LIMIT, current=499, limit=500, step=2),
    size=_refusal(RefusalCode.SIZE_LIMIT, current=262_200, limit=262_144),
    product=_refusal(RefusalCode.PRODUCT_NOT_ACCEPTED, step=0),
)
_SHORT = MissingUnits(product_id="507f1f77bcf86cd799439011", wanted=2, available=1)
_CONFLICT = docs.refused(
    "There is not enough stock, and nothing was changed; or another operation on the cart, or with "
    "the same key, is running; or the cart has items in another currency.",
    shown.IDEMPOTENCY_KEY,
    shown.RETRY_AFTER,
    stock=_refusal(RefusalCode.INSUFFICIENT_STOCK, lines=(_SHORT,)),
    running=in_progress(),
    currency=_refusal(RefusalCode.CURRENCY_MISMATCH, cart_currency="USD", currency="EUR"),
)


@router.post(
    "/{storeId}/store/batch",
    summary="Change several items at once",
    responses={
        200: docs.changed(
            BatchCart,
            "The cart after the changes.",
            shown.ETAG,
            cart=docs.CART_EXAMPLE,
            best_effort=docs.CART_EXAMPLE
            | {
                "outcomes": [
                    {"op": "add", "productId": "507f1f77bcf86cd799439011", "status": "done"},
                    {
                        "op": "set",
                        "productId": "507f1f77bcf86cd799439012",
                        "status": "refused",
                        "code": "item_not_found",
                    },
                ]
            },
        ),
        201: docs.changed(
            BatchCart, "The cart, which was created.", shown.ETAG, cart=docs.CART_EXAMPLE
        ),
        **docs.MUTATION_WITH_BODY,
        400: _REFUSED,
        404: docs.refused(
            "A product is not in the cart; `operation` is its place in the batch.",
            shown.IDEMPOTENCY_KEY,
            item=_refusal(RefusalCode.ITEM_NOT_FOUND, step=1),
        ),
        409: _CONFLICT,
    },
)
async def apply_batch(
    store_id: StoreId, body: BatchBody, request: Request, call: CallDep, headers: ChangeHeader
) -> Response:
    """Adds, changes and removes items in one step: with one version of the cart, and one answer.

    Operations apply in their order. All units are reserved before anything changes, and either all
    operations are done or none. With `best_effort` those are done that can be, and the answer has
    an outcome for each.
    """
    call.context.fields.update(operations=len(body.operations), mode=body.mode)
    key = request_key(call, request, headers.key, body.idempotency_key)
    operation = _batch_of(call, store_id, body, key, headers)
    return await perform(call, operation, key)


def _batch_of(
    call: Call, store_id: str, body: BatchBody, key: RequestKey, headers: ChangeHeaders
) -> ApplyBatch:
    cart = CartKey(store_id, call.principal.user_id)
    requested = requested_by(body)
    return ApplyBatch(
        **common_fields(call, ApplyBatch, cart, key=key, headers=headers, requested=requested),
        steps=tuple(map(_step_of, body.operations)),
        mode=body.mode,
        shopper=shopper_of(call, cart, body.email),
    )


def _step_of(body: BatchOperationBody) -> BatchStep:
    product = None
    if body.product_title is not None and body.product_price is not None:
        product = BatchProduct(
            title=body.product_title,
            images=tuple(body.product_image or ()),
            price=body.product_price,
            description=body.product_description,
            seller_id=body.seller_id,
        )
    return BatchStep(
        op=body.op, product_id=body.product_id, quantity=body.quantity or 0, product=product
    )
