"""Carts by their own id, for their shoppers and for the admins of their stores."""

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response

from adapters.mongo.carts import CartOwner
from api import openapi as docs
from api.dependencies import Call, CallDep, ProductId
from api.entity_tags import unless_known
from api.errors import ApiError, invalid, label, not_found
from api.performing import (
    IfMatch,
    IfNoneMatch,
    KeyHeader,
    given_key,
    operation,
    perform,
)
from api.reading import shown_cart
from api.routes.operations import BASE_PATH
from api.routing import CartRoute
from api.schemas import (
    CART_ID_PATTERN,
    Done,
    EntityId,
    Problem,
    RemoveItemBody,
    UpdateQuantityBody,
)
from models.cart import CartView
from models.messages import RemoveItemInput, UpdateQuantityInput
from workflows import ids

AnyOwner = TypeVar("AnyOwner", bound=CartOwner)

router = APIRouter(
    prefix=BASE_PATH, tags=["Carts"], route_class=CartRoute, responses=docs.PROTECTED
)

CartId = Annotated[
    str,
    Path(
        alias="id",
        pattern=CART_ID_PATTERN,
        description="The cart's own id.",
        examples=["507f1f77bcf86cd799439013"],
    ),
]
_BAD_ID = ("id", "id must be 24 hexadecimal digits")
_REMOVED = docs.changed(
    Done,
    "The product is out of the cart, and its units are free.",
    example={"message": "Item removed from cart"},
)
_NOT_THERE = docs.described(
    Problem,
    "There is no such cart of this user or of the admin's stores, or the product is not in it.",
    cart={"message": "Cart not found"},
    item={"message": "Item not found in cart"},
)


@router.get(
    "/{id}",
    operation_id="getCartById",
    summary="Read a cart by its id",
    response_class=Response,
    responses={
        **docs.CART_READ,
        400: docs.validation_failed(id=_BAD_ID),
        404: docs.message(
            "There is no such cart of this user, or of the admin's stores.", "Cart not found"
        ),
    },
)
async def get_cart_by_id(
    cart_id: CartId, call: CallDep, if_none_match: IfNoneMatch = None
) -> Response:
    """For its shopper, and for admins of its store. Each line shows whether there are still units
    for it."""
    owner = _allowed(call, await call.state.carts.owner(cart_id.lower()))
    if owner.cart is not None:
        call.link_to_saga(owner.store_id, owner.user_id)
    return unless_known(await shown_cart(call.state, owner.cart), if_none_match)


@router.put(
    "/{id}",
    operation_id="updateQuantity",
    summary="Change the quantity of an item",
    response_class=Response,
    responses={
        200: docs.changed(
            CartView,
            "The cart; unchanged if the item had this quantity already.",
            docs.ETAG,
            cart=docs.CART_EXAMPLE,
        ),
        **docs.MUTATION_WITH_BODY,
        400: docs.refused(
            quantity=(
                "quantity",
                "Quantity must be between 1 and 100; to remove the item use DELETE",
            ),
            limit=("quantity", "Quantity must not exceed 50"),
            units=("quantity", "Cart must not hold more than 500 units; it already holds 499"),
            value=("quantity", "Cart must not be worth more than 5000 in all"),
            id=_BAD_ID,
        ),
        404: _NOT_THERE,
    },
)
async def update_quantity(
    *,
    cart_id: CartId,
    body: UpdateQuantityBody,
    request: Request,
    call: CallDep,
    idempotency_key: KeyHeader = None,
    if_match: IfMatch = None,
) -> Response:
    """Reserves what is more, or gives back what is less."""
    call.trace.fields.update(productId=body.product_id, quantity=body.quantity)

    async def build(key: str) -> UpdateQuantityInput:
        asked = {"id": cart_id, **body.model_dump(by_alias=True)}
        common = await _operation(
            call,
            ids.UPDATE_QUANTITY,
            cart_id=cart_id,
            key=key,
            asked=asked,
            if_match=if_match,
        )
        return UpdateQuantityInput(**common, product_id=body.product_id, quantity=body.quantity)

    key = given_key(request, idempotency_key)
    return await perform(call, key, build)


@router.delete(
    "/{id}",
    operation_id="removeItem",
    summary="Remove an item",
    response_class=Response,
    responses={
        200: _REMOVED,
        **docs.MUTATION_WITH_BODY,
        400: docs.validation_failed(missing=("productId", "productId is required"), id=_BAD_ID),
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
        Query(alias="productId", description="Instead of a body, which some clients cannot send."),
    ] = None,
    idempotency_key: KeyHeader = None,
    if_match: IfMatch = None,
) -> Response:
    """Takes a product out of the cart and gives its units back; the cart may be empty then."""
    named = {name for name in (body.product_id if body else None, product_id) if name is not None}
    if not named:
        raise ApiError(invalid(("productId", f"{label('productId')} is required")))
    if len(named) > 1:
        message = "productId must be the same in the body and the query"
        raise ApiError(invalid(("productId", message)))
    return await _remove(call, cart_id, named.pop(), given_key(request, idempotency_key), if_match)


@router.delete(
    "/{id}/items/{productId}",
    operation_id="removeItemByPath",
    summary="Remove an item, named in the path",
    response_class=Response,
    responses={
        200: _REMOVED,
        **docs.MUTATION,
        400: docs.validation_failed(id=_BAD_ID),
        404: _NOT_THERE,
    },
)
async def remove_item_by_path(
    *,
    cart_id: CartId,
    product_id: ProductId,
    request: Request,
    call: CallDep,
    idempotency_key: KeyHeader = None,
    if_match: IfMatch = None,
) -> Response:
    """The same without a body."""
    return await _remove(call, cart_id, product_id, given_key(request, idempotency_key), if_match)


async def _remove(
    call: Call, cart_id: str, product_id: str, key: str | None, if_match: str | None
) -> Response:
    call.trace.fields.update(productId=product_id)

    async def build(used: str) -> RemoveItemInput:
        asked = {"id": cart_id, "productId": product_id}
        common = await _operation(
            call, ids.REMOVE_ITEM, cart_id=cart_id, key=used, asked=asked, if_match=if_match
        )
        return RemoveItemInput(**common, product_id=product_id)

    return await perform(call, key, build)


async def _operation(
    call: Call, name: str, *, cart_id: str, key: str, asked: dict[str, Any], if_match: str | None
) -> dict[str, Any]:
    """The common fields of an operation on a cart by its id, and that id.

    A cart that is gone still has its operations: a repeated key is answered as it was.
    """
    owner = _allowed(call, await call.state.owners.of(cart_id.lower(), call.state.carts))
    common = operation(
        call,
        name,
        store_id=owner.store_id,
        user_id=owner.user_id,
        key=key,
        asked=asked,
        if_match=if_match,
    )
    return common | {"cart_id": cart_id.lower()}


def _allowed(call: Call, owner: AnyOwner | None) -> AnyOwner:
    """Whose cart it is; 404 for a stranger, exactly as for a cart that does not exist."""
    principal = call.principal
    if owner is None or (
        owner.user_id != principal.user_id and not principal.administers(owner.store_id)
    ):
        raise not_found("Cart")
    return owner
