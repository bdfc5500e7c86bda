"""The carts of a store, for its admins."""

import math
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response

from adapters.mongo.carts import CartFilter
from api import openapi as docs
from api.dependencies import CallDep, StoreId
from api.error_codes import ErrorCode
from api.errors import Answer, forbidden
from api.field_problems import broken
from api.fields import DIGITS, MAX_LIMIT, MAX_PAGE, EntityId, Time, UserIdFilter
from api.routing import BASE_PATH, ListRoute
from api.schemas import CartList
from logs import audit
from models.cart import cart_fields
from models.cart_line import AvailabilityStatus
from models.wire import to_json

router = APIRouter(
    prefix=BASE_PATH, tags=["Admin"], route_class=ListRoute, responses=docs.PROTECTED
)

Page = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Page number, from 1."), DIGITS]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Carts per page."), DIGITS]


@router.get(
    "/{storeId}/admin/carts",
    summary="List the carts of a store",
    responses={
        200: docs.read(
            CartList,
            "A page of carts, newest first.",
            page={
                "data": {"carts": [docs.CART_EXAMPLE], "totalCount": 150, "totalPages": 15},
                "success": True,
                "statusCode": 200,
            },
        ),
        400: docs.validation_failed(limit=broken("limit", ErrorCode.OUT_OF_RANGE)),
        403: docs.refused("Not an admin of this store.", forbidden=forbidden().answer),
        503: docs.STORAGE_UNAVAILABLE,
    },
)
async def list_carts(
    *,
    store_id: StoreId,
    call: CallDep,
    page: Page = 1,
    limit: Limit = 10,
    user_id: Annotated[UserIdFilter | None, Query(alias="userId")] = None,
    product_id: Annotated[EntityId | None, Query(alias="productId")] = None,
    availability: Annotated[
        AvailabilityStatus | None, Query(description="Only carts with such a line.")
    ] = None,
    updated_from: Annotated[
        Time | None, Query(alias="updatedFrom", description="Only carts changed since this time.")
    ] = None,
    updated_to: Annotated[
        Time | None, Query(alias="updatedTo", description="Only carts changed before this time.")
    ] = None,
) -> Response:
    """For admins of the store. A cart must match all given filters."""
    if not call.principal.administers(store_id):
        raise forbidden()
    where = CartFilter(user_id, product_id, availability, updated_from, updated_to)
    carts, total = await call.state.carts.store_carts(store_id, where, page=page, limit=limit)
    audit.info(
        "admin_carts_listed",
        message="Admin listed the carts of a store",
        adminId=call.principal.user_id,
        storeId=store_id,
        page=page,
        limit=limit,
        filters={name: value for name, value in asdict(where).items() if value is not None},
        count=len(carts),
        total=total,
    )
    body = {
        "data": {
            "carts": [cart_fields(cart.id, cart) for cart in carts],
            "totalCount": total,
            "totalPages": math.ceil(total / limit),
        },
        "success": True,
        "statusCode": 200,
    }
    return Answer(HTTPStatus.OK, to_json(body)).response()
