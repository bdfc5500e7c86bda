"""Prices, before an operation starts: with a product service they are its own, not the client's.

They are looked up here and not in the saga, so that the operation has them as it has the fields of
its request: a saga that runs again decides by the same price.
"""

from collections.abc import Collection, Mapping
from typing import Protocol

from adapters.products import SYSTEM
from api.errors import unknown_product
from models.errors import DependencyUnavailable
from models.operations import CartOperation
from models.products import Product


class Products(Protocol):
    """What products are called and what they cost (`adapters.products.ProductClient`)."""

    async def products(
        self, store_id: str, product_ids: Collection[str]
    ) -> Mapping[str, Product]: ...


async def priced(products: Products | None, operation: CartOperation) -> CartOperation:
    """The operation with the product service's titles, images and prices; without one as it is.

    Raises `ApiError` (400) for a product that the service does not know, and
    `DependencyUnavailable` when it does not say a price in the store's currency.
    """
    if products is None or not operation.priced_products:
        return operation
    known = await products.products(operation.store_id, operation.priced_products)
    for product_id in operation.priced_products:
        if product_id not in known:
            raise unknown_product(product_id)
    for product_id, product in known.items():
        if product.currency not in {None, operation.policy.currency}:
            detail = (
                f"{product_id} is priced in {product.currency}, not {operation.policy.currency}"
            )
            raise DependencyUnavailable(SYSTEM, detail)
    return operation.with_products(known)
