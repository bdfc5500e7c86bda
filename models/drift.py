"""Drift: where two systems that should agree about a cart do not."""

from enum import StrEnum

from models.message import Message


class DriftKind(StrEnum):
    """What disagrees."""

    ORPHANED_HOLD = "orphaned_hold"
    """The inventory holds more units than it must for the cart."""
    MISSING_HOLD = "missing_hold"
    """The inventory holds fewer units than it must for the cart."""
    STALE_CACHE = "stale_cache"
    """Redis has another cart than MongoDB."""
    STUCK_EFFECT = "stuck_effect"
    """An event or a release has been pending for too long."""
    FURTHER = "further"
    """`found` more drifts of the cart, which are not listed."""


class Drift(Message):
    """One drift of a cart. `expected` and `found` are units, or versions for the cache.

    `done` is what a repair did about it; None when it did nothing.
    """

    kind: DriftKind
    detail: str
    product_id: str | None = None
    effect_id: str | None = None
    expected: int = 0
    found: int = 0
    done: str | None = None
