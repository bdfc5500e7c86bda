"""The policy of each store: the service's settings, with what the store sets itself."""

import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial

from adapters.bounded_cache import BoundedCache
from adapters.single_flight import SingleFlight
from models.errors import DependencyUnavailable
from models.limits import Policy
from models.store_settings import StoredSettings

FRESH_SECONDS = 5.0
"""How long a process uses what it has read: a change takes effect within this time."""
RETRY_SECONDS = 1.0
"""How long it uses what it knows before it asks a MongoDB that did not answer again."""
MAX_KNOWN = 10_000

Read = Callable[[Collection[str]], Awaitable[list[StoredSettings]]]
"""Reads the settings of stores (`adapters.mongo.store_settings.StoreSettingsStore.read_all`)."""


@dataclass(frozen=True, slots=True)
class _Known:
    policy: Policy
    until: float


class StorePolicies:
    """The policies that operations take with them. `usual` is that of a store without settings."""

    def __init__(
        self, usual: Policy, read: Read, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.usual = usual
        self._read = read
        self._clock = clock
        self._known: BoundedCache[str, _Known] = BoundedCache(max_size=MAX_KNOWN)
        self._reads: SingleFlight[Policy] = SingleFlight()

    async def close(self) -> None:
        """Waits for reads in progress, which have a time limit."""
        await self._reads.close()

    async def of(self, store_id: str) -> Policy:
        """The policy of a store.

        While MongoDB does not answer it is the one that was known last; raises
        `DependencyUnavailable` when none is known.
        """
        known = self._known.get(store_id)
        if known is not None and self._clock() < known.until:
            return known.policy
        try:
            return await self._reads.join(store_id, partial(self._load_one, store_id))
        except DependencyUnavailable:
            if known is None:
                raise
            self._keep(store_id, known.policy, RETRY_SECONDS)
            return known.policy

    async def of_all(self, store_ids: Collection[str]) -> dict[str, Policy]:
        """The policies of stores by their ids, as `of`; at most one read for all of them."""
        now = self._clock()
        known = {store_id: self._known.get(store_id) for store_id in store_ids}
        fresh = {store_id: one.policy for store_id, one in known.items() if one and now < one.until}
        stale = known.keys() - fresh.keys()
        if not stale:
            return fresh
        try:
            return fresh | await self._load(stale)
        except DependencyUnavailable:
            last = {store_id: one.policy for store_id, one in known.items() if one}
            if len(last) < len(known):
                raise
            for store_id in stale:
                self._keep(store_id, last[store_id], RETRY_SECONDS)
            return last

    async def reserves(self, store_id: str) -> bool:
        """Whether lines that are held at all need their reservation."""
        return (await self.of(store_id)).at_checkout.reserve

    def forget(self, store_id: str) -> None:
        """Lets the next operation in this process read the store's settings again."""
        self._known.pop(store_id, None)

    async def _load_one(self, store_id: str) -> Policy:
        return (await self._load({store_id}))[store_id]

    async def _load(self, store_ids: Collection[str]) -> dict[str, Policy]:
        policies = dict.fromkeys(store_ids, self.usual)
        for stored in await self._read(store_ids):
            policies[stored.id] = stored.settings.applied_to(self.usual)
        for store_id, policy in policies.items():
            self._keep(store_id, policy, FRESH_SECONDS)
        return policies

    def _keep(self, store_id: str, policy: Policy, seconds: float) -> None:
        self._known.keep(store_id, _Known(policy, self._clock() + seconds))
