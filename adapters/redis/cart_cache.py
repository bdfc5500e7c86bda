"""Redis: the carts as clients see them, by version.

Keys of a cart: `Cart:{storeId}:{userId}:v{n}` (its JSON), `…:latest_version` (the pointer, `"3"`)
and `…:epoch` (when that cart was created, in milliseconds). The pointer only moves forward in
(epoch, version), whoever writes: a saga, or a reader that was slow. A cleared cart leaves the time
of its end as the epoch, without a pointer: a tombstone. Nobody can bring the old cart back, and the
user's next cart, which starts at version 1 again but later, is never hidden by it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from adapters.redis.answers import Announcement
from adapters.redis.pool import RedisPool
from adapters.redis.stock_cache import stock_key

# The pointer outlives what it points to, so that a slow reader finds it even when the TTL is short.
POINTER_GRACE_SECONDS = 60

_PUT = """
local epoch = tonumber(redis.call('GET', KEYS[2]) or '0')
local version = tonumber(redis.call('GET', KEYS[1]) or '0')
local new_epoch, new_version = tonumber(ARGV[1]), tonumber(ARGV[2])
local newer = epoch < new_epoch or (epoch == new_epoch and version <= new_version)
if newer then
  redis.call('SET', KEYS[3], ARGV[3], 'EX', ARGV[4])
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[4] + ARGV[5])
  redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[4] + ARGV[5])
end
for i = 4, #KEYS do redis.call('DEL', KEYS[i]) end
if ARGV[6] ~= '' then redis.call('PUBLISH', ARGV[6], ARGV[7]) end
return newer and 1 or 0
"""

_GET = """
local version = redis.call('GET', KEYS[1])
return {redis.call('GET', KEYS[2]), version and redis.call('GET', ARGV[1] .. version)}
"""

_DROP = """
if tonumber(redis.call('GET', KEYS[2]) or '0') <= tonumber(ARGV[1]) then
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
end
if ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
return 1
"""


@dataclass(frozen=True, slots=True)
class CachedCart:
    """What the cache says a cart is; `body` None when the pointer has outlived it."""

    epoch: int
    version: int
    body: bytes | None

    def shows(self, created_at: datetime, version: int) -> bool:
        """Whether it is this version of this cart."""
        return (self.epoch, self.version) == (_epoch(created_at), version)


@dataclass(frozen=True, slots=True)
class Found:
    """What the cache has of a user's cart: its JSON text, or None, and its epoch if it has one."""

    body: bytes | None
    epoch: bytes | None


class CartCache:
    """Cached carts. Raises `DependencyUnavailable` when Redis does not answer."""

    def __init__(self, redis: RedisPool, *, ttl_seconds: int) -> None:
        self._redis = redis
        self._ttl = ttl_seconds
        self._put = redis.script(_PUT)
        self._get = redis.script(_GET)
        self._drop = redis.script(_DROP)

    @property
    def is_away(self) -> bool:
        """Whether there is no use in trying again at once."""
        return self._redis.is_away

    async def get(self, store_id: str, user_id: str) -> Found:
        """The latest cached cart."""
        key = _key(store_id, user_id)
        async with self._redis.asked("cart"):
            epoch, body = await self._get(
                keys=[f"{key}:latest_version", f"{key}:epoch"], args=[f"{key}:v"]
            )
        return Found(body, epoch)

    async def put(
        self,
        store_id: str,
        user_id: str,
        *,
        created_at: datetime,
        version: int,
        body: bytes,
        changed_products: Collection[str] = (),
        announce: Announcement | None = None,
    ) -> bool:
        """Caches a version of a cart; False when a later one, or a tombstone, is there.

        In the same round trip the cached stock of the products goes that the change was about, and
        then, after the cart, comes the announcement: who hears it and reads the cart sees at least
        this version.
        """
        key = _key(store_id, user_id)
        keys = [f"{key}:latest_version", f"{key}:epoch", f"{key}:v{version}"]
        keys += [stock_key(store_id, product) for product in changed_products]
        async with self._redis.asked("cart"):
            stored = await self._put(
                keys=keys,
                args=[
                    _epoch(created_at),
                    version,
                    body,
                    self._ttl,
                    POINTER_GRACE_SECONDS,
                    announce.channel if announce else "",
                    announce.payload if announce else b"",
                ],
            )
        return bool(stored)

    async def peek(self, store_id: str, user_ids: Sequence[str]) -> list[CachedCart | None]:
        """What is cached of each user's cart, for whoever checks it."""
        if not user_ids:
            return []
        keys = [_key(store_id, user_id) for user_id in user_ids]
        async with self._redis.asked("cart") as redis:
            versions = await redis.mget([f"{key}:latest_version" for key in keys])
            epochs = await redis.mget([f"{key}:epoch" for key in keys])
            named = [f"{key}:v{int(v or 0)}" for key, v in zip(keys, versions, strict=True)]
            bodies = await redis.mget(named)
        found = zip(versions, epochs, bodies, strict=True)
        return [
            None
            if version is None
            else CachedCart(int(epoch or 0), int(version), cast("bytes | None", body))
            for version, epoch, body in found
        ]

    async def forget(self, store_id: str, user_id: str) -> None:
        """Forgets all of a cart, so that even an older version may be cached next.

        Only for whoever holds the cart's lock, and caches the right version next.
        """
        key = _key(store_id, user_id)
        async with self._redis.asked("cart") as redis:
            await redis.delete(f"{key}:latest_version", f"{key}:epoch")

    async def announce(self, announcement: Announcement) -> None:
        """Only tells who listens; nobody may listen."""
        async with self._redis.asked("cart") as redis:
            await redis.publish(announcement.channel, announcement.payload)

    async def drop(
        self,
        store_id: str,
        user_id: str,
        *,
        at: datetime,
        announce: Announcement | None = None,
    ) -> None:
        """Forgets a cart that was deleted, and leaves the time of it as a tombstone."""
        key = _key(store_id, user_id)
        async with self._redis.asked("cart"):
            await self._drop(
                keys=[f"{key}:latest_version", f"{key}:epoch"],
                args=[
                    _epoch(at),
                    self._ttl + POINTER_GRACE_SECONDS,
                    announce.channel if announce else "",
                    announce.payload if announce else b"",
                ],
            )


def _key(store_id: str, user_id: str) -> str:
    return f"Cart:{store_id}:{user_id}"


def _epoch(created_at: datetime) -> int:
    return round(created_at.timestamp() * 1000)
