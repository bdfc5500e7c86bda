"""The personal data of a request's user, sealed for its way to the worker."""

import structlog

from adapters.keyring import Keyring
from models.cart import CartKey
from models.operations import CartOperation
from models.shopper import Shopper

logger = structlog.stdlib.get_logger(__name__)

SHOPPER = "shopper"
"""What the sealed text is (`Keyring.seal`); the cart's key is the rest of what it is about."""


def seal_shopper(keyring: Keyring, cart: CartKey, shopper: Shopper) -> str | None:
    """The shopper as workflow inputs have it; None for one without data."""
    if shopper == Shopper():
        return None
    return keyring.seal(shopper.model_dump_json(), SHOPPER, *cart)


def open_shopper(keyring: Keyring, operation: CartOperation) -> Shopper | None:
    """What the operation's request says about its user.

    Nothing if it cannot be opened, which never fails the operation: a cart can do without it.
    """
    sealed = operation.sealed_shopper
    if sealed is None:
        return None
    text = keyring.open(sealed, SHOPPER, *operation.key)
    if text is None:
        logger.warning(
            "shopper_unreadable",
            message="Name and email address are sealed with an unknown key; see DATA_SECRETS",
        )
        return None
    return Shopper.model_validate_json(text)
