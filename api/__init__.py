"""The HTTP entrance: validates, authenticates, reads carts, starts sagas and waits for them."""
