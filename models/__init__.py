"""The data of the service: carts, operations, events, errors, and what MongoDB stores of them."""
