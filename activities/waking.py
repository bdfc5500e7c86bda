"""Wakes relays for effects that were left pending."""

from collections.abc import Awaitable, Callable

import structlog

from models.cart import CartKey
from models.documents import bucket_of
from models.effects import EffectKind
from models.errors import DependencyUnavailable

logger = structlog.stdlib.get_logger(__name__)

Wake = Callable[[EffectKind, int], Awaitable[None]]
"""Starts or wakes the relay of a kind and shard. Raises `DependencyUnavailable`."""


class RelayWaker:
    """Wakes relays by `wake`; `shards` is their number for each kind."""

    def __init__(self, wake: Wake, *, shards: int) -> None:
        self.wake = wake
        self.shards = shards

    def relay_of(self, kind: EffectKind, cart: CartKey) -> tuple[EffectKind, int]:
        """The kind and shard of the relay that does a cart's effects of this kind."""
        return kind, bucket_of(cart) % self.shards

    async def try_to_wake(self, kind: EffectKind, shard: int) -> None:
        """As `wake`; a relay that cannot be woken is left to the sweep."""
        try:
            await self.wake(kind, shard)
        except DependencyUnavailable as error:
            logger.warning(
                "relay_not_woken",
                message=f"Could not wake relay {kind}/{shard}; the sweep will",
                reason=str(error),
            )
