"""The user's cart in a store, live."""

import json
from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Response

from api import openapi as docs
from api.dependencies import Call, CallDep, StoreId
from api.entity_tags import version_tag
from api.errors import Answer, ApiError
from api.event_stream import RETRY_MS, EventStream
from api.media_types import EVENT_STREAM
from api.reading import own_cart
from api.routing import BASE_PATH, StreamRoute
from models.cart import CartKey

router = APIRouter(
    prefix=BASE_PATH, tags=["Cart"], route_class=StreamRoute, responses=docs.PROTECTED
)

_EXAMPLE = (
    f"retry: {RETRY_MS}\n\n"
    "id: 1-507f1f77bcf86cd799439013\n"
    "event: cart\n"
    f"data: {json.dumps(docs.CART_EXAMPLE)}\n\n"
)
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="The `id` of the latest event, so that it is not sent again.",
    ),
]


@router.get(
    "/{storeId}/store/events",
    summary="Follow your cart",
    responses={
        200: docs.streamed(EVENT_STREAM, "The events, until the stream ends.", _EXAMPLE),
        400: docs.BAD_STORE_ID,
        406: docs.NOT_STREAMED,
        429: docs.NO_ROOM_FOR_USER,
        503: docs.NO_ROOM,
    },
)
async def follow_cart(
    store_id: StoreId, call: CallDep, last_event_id: LastEventId = None
) -> Response:
    """Server-sent events: `cart` with your cart, now and whenever it has a new version, and
    `cart_deleted` without one.

    The `id` of these is the cart's version. `unavailable` says that changes are noticed late from
    now on, and `available` that they are noticed at once again. A line with a colon is a heartbeat.
    The stream ends when the token expires, after an hour, and when the server stops: connect again.
    """
    live, key = call.state.live, CartKey(store_id, call.principal.user_id)
    live.check_room(key.user_id)
    await call.state.carts.version(key)  # 503 without MongoDB, while there can be an answer
    call.context.is_stream = True
    return EventStream(
        live,
        partial(live.open, key, sent=last_event_id, expires_at=call.principal.expires_at),
        partial(_read, call, key),
        head=call.context.is_head,
    )


async def _read(call: Call, key: CartKey) -> tuple[str, Answer] | None:
    try:
        answer = await own_cart(call.state, key)
    except ApiError as error:
        if error.status_code == HTTPStatus.NOT_FOUND:
            return None
        raise
    return version_tag(answer), answer
