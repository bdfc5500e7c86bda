"""The checkout of the user's cart: begin it, cancel it."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from api import openapi as docs
from api import openapi_headers as shown
from api.dependencies import CallDep, StoreId
from api.performing import ChangeHeader, common_fields, perform, request_key
from api.routing import BASE_PATH, CartRoute
from api.schemas import CheckedOutCart
from models.cart import CartKey, CartView
from models.operations import CancelCheckout, Checkout

router = APIRouter(
    prefix=BASE_PATH, tags=["Checkout"], route_class=CartRoute, responses=docs.PROTECTED
)
PATH = "/{storeId}/store/checkout"


@router.post(
    PATH,
    summary="Check your cart out",
    status_code=HTTPStatus.CREATED,
    responses={
        201: docs.changed(
            CheckedOutCart,
            "The cart is frozen, and its units are held.",
            cart=docs.CHECKOUT_EXAMPLE,
        ),
        **docs.MUTATION,
        400: docs.BAD_STORE_ID,
        404: docs.refused("You have no cart in this store.", cart=docs.NO_CART),
        409: docs.NOT_CHECKED_OUT,
    },
)
async def check_out(
    store_id: StoreId, request: Request, call: CallDep, headers: ChangeHeader
) -> Response:
    """Freezes your cart with all its units held, for `CHECKOUT_MINUTES`. Units whose hold has ended
    are reserved again, all or none. With a product service, prices are looked up again. An order
    names the `checkoutId`."""
    key = request_key(call, request, headers.key)
    cart = CartKey(store_id, call.principal.user_id)
    common = common_fields(call, Checkout, cart, key=key, headers=headers, requested={})
    looked_up: tuple[str, ...] = ()
    if call.state.products is not None:
        found = await call.state.carts.cart(cart)
        looked_up = tuple(line.product_id for line in found.cart_items) if found else ()
    return await perform(call, Checkout(**common, looked_up=looked_up), key)


@router.delete(
    PATH,
    summary="Cancel the checkout of your cart",
    responses={
        200: docs.changed(
            CartView, "The cart, which can be changed again.", shown.ETAG, cart=docs.CART_EXAMPLE
        ),
        **docs.MUTATION,
        400: docs.BAD_STORE_ID,
        404: docs.refused(
            "You have no cart in this store, or it is not checked out.",
            cart=docs.NO_CART,
            checkout=docs.NO_CHECKOUT,
        ),
    },
)
async def cancel_checkout(
    store_id: StoreId, request: Request, call: CallDep, headers: ChangeHeader
) -> Response:
    """Ends the checkout. The cart keeps its items and their holds."""
    key = request_key(call, request, headers.key)
    cart = CartKey(store_id, call.principal.user_id)
    common = common_fields(call, CancelCheckout, cart, key=key, headers=headers, requested={})
    return await perform(call, CancelCheckout(**common, reason="user"), key)
