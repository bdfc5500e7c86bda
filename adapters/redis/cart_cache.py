"""Redis: carts as clients see them, by version.

Keys of a cart: `Cart:{storeId}:{userId}:v{n}` (its JSON) and `…:latest_version` (`"3"`), with the
user percent-encoded. A reader gets the current version from MongoDB and takes only that one from
Redis. So a Redis that missed or lost writes never shows an older cart.

The JSON has a signature as its last member, `_mac`: a value that this service has not written for
this user, store and version counts as not cached.

Each command names one key, so that the keys can be in different slots of a cluster.
"""

import re
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote

from redis.asyncio.client import Pipeline

from adapters.keyring import Keyring
from adapters.redis.answers import CHANGED, ReplyMessage, change_hint
from adapters.redis.checked import checked, signed
from adapters.redis.pool import RedisPool, get_all
from adapters.redis.stock_cache import stock_key
from models.cart import CartKey, CartVersion
from models.user_id import path_safe

SCAN_KEYS = 1000
MAX_SCANS = 1000


@dataclass(frozen=True, slots=True)
class CachedCart:
    """The latest version that Redis has of a cart; `body` is its JSON text, None if missing."""

    version: int
    body: bytes | None


class CartCache:
    """Cached carts. Raises `DependencyUnavailable` when Redis does not answer."""

    def __init__(self, redis: RedisPool, keyring: Keyring, *, ttl_seconds: int) -> None:
        self._redis = redis
        self._keyring = keyring
        self._ttl = ttl_seconds

    async def get(self, key: CartKey, version: CartVersion) -> bytes | None:
        """The JSON text of a version; None if it is not cached, or not as this service wrote it.

        The cart's id must match too: versions start again with the user's next cart after a clear.
        """
        async with self._redis.client("cart", _subject(key)) as redis:
            value = cast("bytes | None", await redis.get(_versioned(key, version.version)))
        body = self._checked(key, version.version, value)
        beginning = f'{{"_id":"{version.cart_id}"'.encode()  # as `models.cart.cart_json` writes it
        return body if body is not None and body.startswith(beginning) else None

    async def put(
        self,
        key: CartKey,
        *,
        version: int,
        body: bytes,
        stale_products: Collection[str] = (),
        reply: ReplyMessage | None = None,
    ) -> None:
        """Caches a committed version and deletes the one before, in one round trip.

        Also deletes the cached stock of `stale_products`, sends the reply and publishes the change,
        in this order.
        """
        async with self._redis.client("cart", _subject(key)) as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.set(_versioned(key, version), self._signed(key, version, body), ex=self._ttl)
            pipeline.set(_latest(key), version, ex=self._ttl)
            pipeline.delete(_versioned(key, version - 1))
            for product in stale_products:
                pipeline.delete(stock_key(key.store_id, product))
            _send(pipeline, reply)
            pipeline.publish(CHANGED, change_hint(key))
            await pipeline.execute()

    async def fill(self, key: CartKey, version: int, body: bytes) -> None:
        """Caches a version that a reader loaded from MongoDB.

        Leaves the latest version as it is, because a newer one may have been committed meanwhile.
        """
        async with self._redis.client("cart", _subject(key)) as redis:
            value = self._signed(key, version, body)
            await redis.set(_versioned(key, version), value, ex=self._ttl)

    async def drop(self, key: CartKey, *, version: int, reply: ReplyMessage | None = None) -> None:
        """Deletes a deleted cart, whose last version was `version`; replies like `put`."""
        async with self._redis.client("cart", _subject(key)) as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.delete(_latest(key))
            pipeline.delete(_versioned(key, version))
            _send(pipeline, reply)
            pipeline.publish(CHANGED, change_hint(key))
            await pipeline.execute()

    async def drop_all(self, carts: Collection[tuple[CartKey, int]]) -> None:
        """Deletes deleted carts, each with its last version, and publishes the changes."""
        async with self._redis.client("cart") as redis:
            pipeline = redis.pipeline(transaction=False)
            for key, version in carts:
                pipeline.delete(_latest(key))
                pipeline.delete(_versioned(key, version))
                pipeline.publish(CHANGED, change_hint(key))
            await pipeline.execute()

    async def forget(self, key: CartKey) -> None:
        """Deletes the latest version of a cart from the cache."""
        async with self._redis.client("cart", _subject(key)) as redis:
            latest = cast("bytes | None", await redis.get(_latest(key)))
            await redis.delete(_latest(key))
            await redis.delete(_versioned(key, _number(latest)))

    async def peek(self, store_id: str, user_ids: Sequence[str]) -> list[CachedCart | None]:
        """The latest cached version of each user's cart, in the order of `user_ids`."""
        if not user_ids:
            return []
        keys = [CartKey(store_id, user_id) for user_id in user_ids]
        async with self._redis.client("cart") as redis:
            versions = await get_all(redis, map(_latest, keys))
            found = zip(keys, versions, strict=True)
            values = await get_all(redis, (_versioned(key, _number(v)) for key, v in found))
        return [
            None
            if latest is None
            else CachedCart(_number(latest), self._checked(key, _number(latest), value))
            for key, latest, value in zip(keys, versions, values, strict=True)
        ]

    async def cached_users(self, store_id: str, *, limit: int) -> list[str]:
        """The users of a store with a cached cart, at most `limit`.

        Scans the keys of all stores, at most `MAX_SCANS` times `SCAN_KEYS`.
        """
        prefix, suffix = f"Cart:{store_id}:", ":latest_version"
        users: set[str] = set()
        async for names in self._scan(f"{prefix}*{suffix}"):
            users |= {
                unquote(name.decode(errors="replace").removeprefix(prefix).removesuffix(suffix))
                for name in names
            }
            if len(users) >= limit:
                break
        return sorted(users)[:limit]

    async def keys_of_user(self, user_id: str, store_id: str | None) -> list[bytes]:
        """The keys of a user's carts in a store, or (None) in all.

        Scans all keys, at most `MAX_SCANS` times `SCAN_KEYS`.
        """
        pattern = f"Cart:{_literal(store_id) if store_id else '*'}:{_literal(path_safe(user_id))}:*"
        return sorted({name async for names in self._scan(pattern) for name in names})

    async def _scan(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """The keys of a pattern, page by page; a key can be in several pages."""
        cursor = 0
        for _ in range(MAX_SCANS):
            async with self._redis.client("cart") as redis:
                cursor, names = await redis.scan(cursor, pattern, SCAN_KEYS)
            yield cast("list[bytes]", names)
            if cursor == 0:
                return

    async def erase_user(self, user_id: str, store_id: str | None) -> int:
        """Deletes the keys of a user's carts; returns how many there were."""
        keys = await self.keys_of_user(user_id, store_id)
        if keys:
            async with self._redis.client("cart") as redis:
                pipeline = redis.pipeline(transaction=False)
                for key in keys:
                    pipeline.delete(key)
                await pipeline.execute()
        return len(keys)

    def _signed(self, key: CartKey, version: int, body: bytes) -> bytes:
        return signed(self._keyring, body, "cart", *key, str(version))

    def _checked(self, key: CartKey, version: int, value: bytes | None) -> bytes | None:
        return checked(self._keyring, value, "cart", *key, str(version))

    async def announce(self, reply: ReplyMessage, changed: CartKey | None = None) -> None:
        """Publishes a reply and, with `changed`, that this cart has changed."""
        async with self._redis.client("cart") as redis:
            pipeline = redis.pipeline(transaction=False)
            _send(pipeline, reply)
            if changed is not None:
                pipeline.publish(CHANGED, change_hint(changed))
            await pipeline.execute()


def _send(pipeline: Pipeline, reply: ReplyMessage | None) -> None:
    if reply is not None:
        pipeline.publish(reply.channel, reply.payload)


def _literal(text: str) -> str:
    """A text in a pattern of keys."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)


def _number(latest: bytes | None) -> int:
    """A latest version; 0, which no cart has, for what is no number."""
    return int(latest) if latest is not None and re.fullmatch(rb"\d{1,18}", latest) else 0


def _subject(key: CartKey) -> str:
    """What a call is about, for the circuit breaker."""
    return "/".join(key)


def _latest(key: CartKey) -> str:
    return f"Cart:{key.store_id}:{path_safe(key.user_id)}:latest_version"


def _versioned(key: CartKey, version: int) -> str:
    return f"Cart:{key.store_id}:{path_safe(key.user_id)}:v{version}"
