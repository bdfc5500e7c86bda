"""Personal data of a cart's user, which carts have and nothing else has in clear text.

In workflow inputs it is sealed (`adapters.keyring`). A kept answer has `null` in the place of the
name, which is kept sealed beside it.
"""

import orjson

from models.message import Message

_NO_NAME = b'"fullName":null'


class Shopper(Message):
    """What a request says about its user; None if nothing."""

    full_name: str | None = None
    email: str | None = None


def without_name(body: bytes, name: str | None) -> bytes:
    """The JSON text of an answer without the user's name.

    A string in JSON cannot have the text `"fullName":`, because its quotes would be escaped.
    """
    return body if name is None else body.replace(_named(name), _NO_NAME)


def with_name(body: bytes, name: str) -> bytes:
    """The JSON text that `without_name` was given."""
    return body.replace(_NO_NAME, _named(name))


def _named(name: str) -> bytes:
    return b'"fullName":' + orjson.dumps(name)
