"""Guests: shoppers without an account, to whom this service gives an id and a token."""

import re
import secrets

_GUEST_ID = re.compile(r"guest:[0-9a-f]{32}")
_RANDOM_BYTES = 16


def new_guest_id() -> str:
    """The id of a new guest: 128 random bits, so that nobody can guess another guest's."""
    return f"guest:{secrets.token_hex(_RANDOM_BYTES)}"


def is_guest_id(user_id: str) -> bool:
    """Whether a user's id has the form that only this service gives out.

    A shop may have users such as `guest:17`: they are users like all others.
    """
    return _GUEST_ID.fullmatch(user_id) is not None
