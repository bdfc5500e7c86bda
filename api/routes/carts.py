"""Carts by id, for their users and for the admins of their stores."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api import openapi as docs
from api import openapi_headers as shown
from api.audit import seen
from api.dependencies import Call, CallDep, CartId, ProductId
from api.entity_tags import unless_known
from api.error_codes import ErrorCode
from api.errors import ApiError, invalid, not_found
from api.field_problems import broken, required
from api.fields import EntityId
from api.performing import (
    ChangeHeader,
    ChangeHeaders,
    IfNoneMatch,
    RequestKey,
    common_fields,
    perform,
    request_key,
)
from api.reading import cart_owner, shown_cart
from api.routing import BASE_PATH, CartRoute
from api.schemas import ItemRemoved, RemoveItemBody, UpdateQuantityBody
from models.cart import CartView
from models.operations import ExtendHolds, RemoveItem, UpdateQuantity
from models.operations.remove_item import REMOVED

router = APIRouter(
    prefix=BASE_PATH, tags=["Carts"], route_class=CartRoute, responses=docs.PROTECTED
)

_BAD_ID = broken("id", ErrorCode.INVALID_FORMAT)
_REMOVED = docs.changed(
    ItemRemoved,
    "The item was removed and its units released.",
    shown.ETAG,
    removed={"message": REMOVED, "cart": docs.EMPTY_CART_EXAMPLE},
)
_NOT_THERE = docs.refused(
    "No cart with this id that the user may access, or the product is not in it.",
    shown.IDEMPOTENCY_KEY,
    cart=docs.NO_CART,
    item=docs.NO_ITEM,
)


@router.get(
    "/{id}",
    summary="Get a cart by id",
    responses={
        **docs.CART_READ,
        400: docs.validation_failed(id=_BAD_ID),
        404: docs.refused("No cart with this id that the user may access.", cart=docs.NO_CART),
    },
)
async def get_cart_by_id(
    cart_id: CartId, call: CallDep, if_none_match: IfNoneMatch = None
) -> Response:
    """For the cart's user and for admins of its store. Each line shows whether it is in stock."""
    found = await call.state.carts.owner(cart_id.lower(), call.principal.scope)
    if found is None:
        raise not_found(ErrorCode.CART_NOT_FOUND)
    if found.cart is not None:
        call.link_to_saga(found.key.store_id, found.key.user_id)
    if found.key.user_id != call.principal.user_id:
        admin_id = call.principal.user_id
        seen("admin_cart_read", "Admin read a cart", admin_id, found.key, cartId=cart_id.lower())
    return unless_known(await shown_cart(call.state, found.cart), if_none_match)


@router.put(
    "/{id}",
    summary="Change the quantity of an item",
    responses={
        200: docs.changed(
            CartView,
            "The cart; unchanged if the item already had this quantity.",
            shown.ETAG,
            cart=docs.CART_EXAMPLE,
        ),
        **docs.MUTATION_WITH_BODY,
        400: docs.NOT_UPDATED,
        404: _NOT_THERE,
    },
)
async def update_quantity(
    cart_id: CartId,
    body: UpdateQuantityBody,
    request: Request,
    call: CallDep,
    headers: ChangeHeader,
) -> Response:
    """Reserves additional units, or releases the difference."""
    call.context.fields.update(productId=body.product_id, quantity=body.quantity)
    cart = await cart_owner(call, cart_id.lower())
    key = request_key(call, request, headers.key)
    requested = {"id": cart_id, **body.model_dump(by_alias=True)}
    operation = UpdateQuantity(
        **common_fields(call, UpdateQuantity, cart, key=key, headers=headers, requested=requested),
        cart_id=cart_id.lower(),
        product_id=body.product_id,
        quantity=body.quantity,
    )
    return await perform(call, operation, key)


@router.delete(
    "/{id}",
    summary="Remove an item",
    responses={
        200: _REMOVED,
        **docs.MUTATION_WITH_BODY,
        400: docs.validation_failed(missing=required("productId"), id=_BAD_ID),
        404: _NOT_THERE,
    },
)
async def remove_item(
    *,
    cart_id: CartId,
    request: Request,
    call: CallDep,
    body: RemoveItemBody | None = None,
    product_id: Annotated[
        EntityId | None,
        Query(alias="productId", description="Replaces the body, which some clients cannot send."),
    ] = None,
    headers: ChangeHeader,
) -> Response:
    """Removes a product from the cart and releases its units. The cart may be empty then."""
    named = {name for name in (body.product_id if body else None, product_id) if name is not None}
    if not named:
        raise ApiError(invalid(required("productId")))
    if len(named) > 1:
        message = "Product id must be the same in the body and the query"
        raise ApiError(invalid(broken("productId", ErrorCode.CONFLICTING_VALUES, message)))
    key = request_key(call, request, headers.key)
    return await _remove(call, cart_id, named.pop(), key, headers)


@router.delete(
    "/{id}/items/{productId}",
    summary="Remove an item by path",
    responses={
        200: _REMOVED,
        **docs.MUTATION,
        400: docs.validation_failed(id=_BAD_ID),
        404: _NOT_THERE,
    },
)
async def remove_item_by_path(
    cart_id: CartId, product_id: ProductId, request: Request, call: CallDep, headers: ChangeHeader
) -> Response:
    """Same as `DELETE /{id}`, without a body."""
    key = request_key(call, request, headers.key)
    return await _remove(call, cart_id, product_id, key, headers)


@router.post(
    "/{id}/extend",
    summary="Extend the holds of a cart",
    responses={
        200: docs.changed(
            CartView,
            "The cart; unchanged if its units cannot be held longer.",
            shown.ETAG,
            cart=docs.CART_EXAMPLE,
        ),
        **docs.MUTATION,
        400: docs.validation_failed(id=_BAD_ID),
        404: _NOT_THERE,
        409: docs.NOT_HELD,
    },
)
async def extend_holds(
    cart_id: CartId, request: Request, call: CallDep, headers: ChangeHeader
) -> Response:
    """Holds all units of the cart for `HOLD_MINUTES` from now on, at most `HOLD_MAX_MINUTES` after
    the first. Reserves those again whose hold has ended."""
    cart = await cart_owner(call, cart_id.lower())
    key = request_key(call, request, headers.key)
    common = common_fields(
        call, ExtendHolds, cart, key=key, headers=headers, requested={"id": cart_id}
    )
    return await perform(call, ExtendHolds(**common, cart_id=cart_id.lower()), key)


async def _remove(
    call: Call, cart_id: str, product_id: str, key: RequestKey, headers: ChangeHeaders
) -> Response:
    call.context.fields.update(productId=product_id)
    cart = await cart_owner(call, cart_id.lower())
    requested = {"id": cart_id, "productId": product_id}
    operation = RemoveItem(
        **common_fields(call, RemoveItem, cart, key=key, headers=headers, requested=requested),
        cart_id=cart_id.lower(),
        product_id=product_id,
    )
    return await perform(call, operation, key)
