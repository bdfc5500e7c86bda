"""Values in Redis that are read back: JSON objects whose last member, `_mac`, is a signature.

An attacker with write access to Redis must not be able to show one user's cart to another, or a
forged price. A value counts only if this service has written it, for this purpose and key. Any
other value counts as absent.
"""

import time
from typing import Literal

import structlog

from adapters.keyring import MAC_CHARACTERS, Keyring
from telemetry.metrics import REDIS_REJECTED

logger = structlog.stdlib.get_logger(__name__)

Use = Literal["cart", "stock", "reply", "log_level"]

_MEMBER = b',"_mac":"'
_END = b'"}'
_LENGTH = len(_MEMBER) + MAC_CHARACTERS + len(_END)

REPEATED_AFTER_SECONDS = 60.0
_warned: dict[Use, float] = {}
"""When a rejected value of a use was last logged."""


def signed(keyring: Keyring, text: bytes, use: Use, *about: str) -> bytes:
    """The JSON object in `text`, which is not empty, with its signature."""
    return text[:-1] + _MEMBER + keyring.sign(text, use, *about) + _END


def checked(keyring: Keyring, value: bytes | None, use: Use, *about: str) -> bytes | None:
    """The text that was signed; None for an absent value, and for one that was not signed so."""
    if value is None:
        return None
    text, member = value[:-_LENGTH] + b"}", value[-_LENGTH:]
    mac = member[len(_MEMBER) : -len(_END)]
    if member == _MEMBER + mac + _END and keyring.is_signed(text, mac, use, *about):
        return text
    reject(use)
    return None


def reject(use: Use) -> None:
    """Counts a value that is not accepted, and logs it at most once a minute."""
    REDIS_REJECTED.add(1, {"use": use})
    now = time.monotonic()
    if now - _warned.get(use, -REPEATED_AFTER_SECONDS) >= REPEATED_AFTER_SECONDS:
        _warned[use] = now
        logger.warning(
            "redis_value_rejected",
            message="A value in Redis was not written by this service; it counts as absent",
            use=use,
        )
