"""Sagas and the gateway that starts them."""
