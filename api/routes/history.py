"""The history of a cart, for its user and for the admins of its store."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import openapi as docs
from api import openapi_headers as shown
from api.audit import seen
from api.dependencies import CallDep, CartId
from api.error_codes import ErrorCode
from api.errors import Answer
from api.field_problems import broken
from api.fields import CURSOR_PATTERN, DIGITS, MAX_LIMIT
from api.history import HistoryPage, history_page
from api.reading import cart_owner
from api.routing import BASE_PATH, ListRoute
from models.wire import to_json

router = APIRouter(
    prefix=BASE_PATH, tags=["Carts"], route_class=ListRoute, responses=docs.PROTECTED
)

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Changes per page."), DIGITS]
Cursor = Annotated[
    str | None,
    Query(pattern=CURSOR_PATTERN, description="`nextCursor` of the page before."),
]


@router.get(
    "/{id}/history",
    summary="Get the history of a cart",
    responses={
        200: docs.read(
            HistoryPage,
            "A page of changes, newest first. A large change makes the page shorter than `limit`.",
            shown.SAGA_LINK,
            user=docs.HISTORY_EXAMPLE,
            admin=docs.HISTORY_OF_ADMIN_EXAMPLE,
        ),
        400: docs.validation_failed(
            limit=broken("limit", ErrorCode.OUT_OF_RANGE),
            cursor=broken("cursor", ErrorCode.INVALID_FORMAT),
        ),
        404: docs.refused("No cart with this id that the user may access.", cart=docs.NO_CART),
        503: docs.STORAGE_UNAVAILABLE,
    },
)
async def get_cart_history(
    *, cart_id: CartId, call: CallDep, limit: Limit = 20, cursor: Cursor = None
) -> Response:
    """For the cart's user and for admins of its store, also after the cart has ended.

    What changed the cart, for 90 days. Admins see who caused a change, and a link to its saga.
    """
    cart_id, principal = cart_id.lower(), call.principal
    key = await cart_owner(call, cart_id)
    if key.user_id != principal.user_id:
        seen(
            "admin_history_read",
            "Admin read the history of a cart",
            principal.user_id,
            key,
            cartId=cart_id,
        )
    changes = await call.state.history.changes(
        cart_id, key, before=int(cursor) if cursor else None, limit=limit + 1
    )
    page = history_page(
        cart_id,
        key,
        changes,
        limit=limit,
        pages=call.state.pages if principal.administers(key.store_id) else None,
    )
    call.link_to_saga(*key)
    body = to_json(page.model_dump(by_alias=True, exclude_none=True))
    return Answer(HTTPStatus.OK, body).response()
