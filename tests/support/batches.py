"""The steps of batches."""

from decimal import Decimal

from models.batch import BatchProduct, BatchStep


def add(product: str, quantity: int, price: str = "10.00") -> BatchStep:
    about = BatchProduct(title=product.title(), price=Decimal(price))
    return BatchStep(op="add", product_id=product, quantity=quantity, product=about)


def put(product: str, quantity: int) -> BatchStep:
    return BatchStep(op="set", product_id=product, quantity=quantity)


def remove(product: str) -> BatchStep:
    return BatchStep(op="remove", product_id=product)
