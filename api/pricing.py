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

    Raises `ApiError` (400) for a product that must be known and is not, and
    `DependencyUnavailable` when the service does not say its price in the store's currency. Other
    prices are taken where they are known.
    """
    if products is None:
        return operation
    if operation.priced_products:
        known = await products.products(operation.store_id, operation.priced_products)
        for product_id in operation.priced_products:
            if product_id not in known:
                raise unknown_product(product_id)
        for product_id, product in known.items():
            if not _is_in(product, operation.policy.currency):
                detail = f"{product_id} has a price in {product.currency}, which the store has not"
                raise DependencyUnavailable(SYSTEM, detail)
        operation = operation.with_products(known)
    if operation.repriced_products:
        try:
            known = await products.products(operation.store_id, operation.repriced_products)
        except DependencyUnavailable:  # the circuit breaker logs it once
            return operation
        currency = operation.policy.currency
        operation = operation.with_products(
            {name: product for name, product in known.items() if _is_in(product, currency)}
        )
    return operation


def _is_in(product: Product, currency: str) -> bool:
    return product.currency in {None, currency}
