"""A guest signs in: the guest's cart is merged into the user's."""

from http import HTTPStatus

import jwt
from fastapi import APIRouter, Request, Response

from api import openapi as docs
from api import openapi_headers as shown
from api.auth.claims import ClaimError
from api.dependencies import Call, CallDep, StoreId
from api.error_codes import ErrorCode
from api.errors import ApiError, in_progress, invalid, not_found, problem, refusal_answer
from api.field_problems import broken
from api.performing import ChangeHeader, common_fields, perform, request_key, shopper_of
from api.routing import BASE_PATH, CartRoute
from api.schemas import MergeBody, MergedCart
from models.cart import CartKey
from models.operations import MergeCart
from models.outcomes import Refusal, RefusalCode
from workflows import ids

router = APIRouter(
    prefix=BASE_PATH, tags=["Guests"], route_class=CartRoute, responses=docs.PROTECTED
)

_EXPIRED = broken("guestToken", ErrorCode.GUEST_TOKEN_EXPIRED, "The guest's token has expired")
_INVALID = broken("guestToken", ErrorCode.GUEST_TOKEN_INVALID, "This is no guest's token")
_GUESTS_CANNOT = problem(
    HTTPStatus.FORBIDDEN, "A guest's cart is merged into a user's: sign in first"
)
_MERGED = docs.CART_EXAMPLE | {
    "notMerged": [
        {"productId": "507f1f77bcf86cd799439012", "quantity": 1, "reason": "quantity_limit"}
    ]
}


@router.post(
    "/{storeId}/store/merge",
    summary="Merge a guest's cart into yours",
    responses={
        200: docs.changed(
            MergedCart, "Your cart.", shown.ETAG, cart=docs.CART_EXAMPLE, limited=_MERGED
        ),
        201: docs.changed(
            MergedCart, "Your cart, which was created.", shown.ETAG, cart=docs.CART_EXAMPLE
        ),
        **docs.MUTATION_WITH_BODY,
        400: docs.validation_failed(
            strategy=broken("strategy", ErrorCode.NOT_ALLOWED), expired=_EXPIRED, invalid=_INVALID
        ),
        403: docs.refused("The token is a guest's.", guest=_GUESTS_CANNOT),
        404: docs.refused(
            "Neither of you has a cart in this store, or this service has no guests.",
            shown.IDEMPOTENCY_KEY,
            cart=docs.NO_CART,
            off=not_found(ErrorCode.GUESTS_OFF).answer,
        ),
        409: docs.refused(
            "Another operation on the cart, or with the same key, is running; or the carts have "
            "items in different currencies.",
            shown.IDEMPOTENCY_KEY,
            shown.RETRY_AFTER,
            running=in_progress(),
            currency=refusal_answer(
                MergeCart.name,
                Refusal(code=RefusalCode.CURRENCY_MISMATCH, cart_currency="USD", currency="EUR"),
            ),
        ),
    },
)
async def merge_cart(
    store_id: StoreId, body: MergeBody, request: Request, call: CallDep, headers: ChangeHeader
) -> Response:
    """For a guest who has signed in: call it with the user's token. The units stay held.

    The limits of the cart apply; what your cart did not get is in `notMerged`. The guest's cart is
    deleted. If the guest has none in this store, the answer is your cart as it is.
    """
    if call.principal.is_guest:
        raise ApiError(_GUESTS_CANNOT)
    guest_id = _guest_of(call, body.guest_token)
    call.context.fields.update(strategy=body.strategy, guestId=guest_id)
    key = request_key(call, request, headers.key)
    cart = CartKey(store_id, call.principal.user_id)
    requested = {"guest": guest_id, "strategy": body.strategy}
    common = common_fields(call, MergeCart, cart, key=key, headers=headers, requested=requested)
    operation = MergeCart(
        **common,
        guest_id=guest_id,
        guest_operation_id=ids.operation_id(store_id, guest_id, common["operation_id"]),
        strategy=body.strategy,
        shopper=shopper_of(call, cart, None),
    )
    return await perform(call, operation, key)


def _guest_of(call: Call, token: str) -> str:
    """The guest of a token in the request's body."""
    guests = call.state.authenticator.guests
    if not guests.are_on:
        raise not_found(ErrorCode.GUESTS_OFF)
    try:
        return guests.guest_id(token)
    except jwt.ExpiredSignatureError:
        raise ApiError(invalid(_EXPIRED)) from None
    except (jwt.PyJWTError, ClaimError, ValueError, TypeError):
        raise ApiError(invalid(_INVALID)) from None
