"""Prices, before an operation starts: with a product service they are its own, not the client's.

They are looked up here and not in the saga, so that the operation has them as it has the fields of
its request: a saga that runs again decides by the same price.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
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
    required, others = operation.priced_products, operation.repriced_products
    if products is None or not (required or others):
        return operation
    store_id, currency = operation.store_id, operation.policy.currency
    known = dict(await products.products(store_id, required)) if required else {}
    for product_id in required:
        if product_id not in known:
            raise unknown_product(product_id)
        if not _is_in(known[product_id], currency):
            detail = f"{product_id} has a price in {known[product_id].currency}, not {currency}"
            raise DependencyUnavailable(SYSTEM, detail)
    if others:
        with suppress(DependencyUnavailable):  # the circuit breaker logs it once
            found = await products.products(store_id, others)
            known |= {one: product for one, product in found.items() if _is_in(product, currency)}
    return operation.with_products(known)


def _is_in(product: Product, currency: str) -> bool:
    return product.currency in {None, currency}
