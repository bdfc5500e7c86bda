"""Rate limits as token buckets: in Redis, and in the process for when Redis is unavailable.

A bucket holds the tokens of one minute and refills evenly. In Redis it uses the clock of Redis, so
that all API processes agree.

Not a library, because `limits` has windows (fixed, moving, sliding) but no token bucket.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from adapters.redis.pool import RedisPool

WINDOW_SECONDS = 60

_TAKE = """
local capacity, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(bucket[1] or capacity), tonumber(bucket[2] or now)
-- What no request of this limit can have left is a full bucket. Comparisons with NaN are false.
local plausible = tokens and at and tokens >= 0 and tokens <= capacity
-- A stored time is rounded, and so may be a little later than now.
if not (plausible and at > now - 2 * window and at < now + 1) then
  tokens, at = capacity, now
end
tokens = math.min(capacity, tokens + math.max(0, now - at) * capacity / window)
local taken = tokens >= cost
if taken then tokens = tokens - cost end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(now))
redis.call('EXPIRE', KEYS[1], window)
return {taken and 1 or 0, tostring(tokens)}
"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """The state of a bucket after a request.

    `wait_seconds` is the time until there are enough tokens for the same request, `full_seconds`
    the time until the bucket is full. Both are rounded up.
    """

    allowed: bool
    limit: int
    remaining: int
    wait_seconds: int
    full_seconds: int


def _allowance(allowed: bool, tokens: float, cost: int, per_minute: int) -> Allowance:
    per_second = per_minute / WINDOW_SECONDS
    return Allowance(
        allowed=allowed,
        limit=per_minute,
        remaining=int(tokens),
        wait_seconds=max(1, math.ceil((cost - tokens) / per_second)),
        full_seconds=math.ceil((per_minute - tokens) / per_second),
    )


class RateLimiter:
    """Token buckets in Redis. Raises `DependencyUnavailable` when Redis does not answer."""

    def __init__(self, redis: RedisPool) -> None:
        self._redis = redis
        self._take = redis.script(_TAKE)

    async def forget(self, subject: str) -> None:
        """Deletes the subject's bucket."""
        async with self._redis.client("rate_limit") as redis:
            await redis.delete(_bucket(subject))

    async def take(self, subject: str, *, per_minute: int, cost: int = 1) -> Allowance:
        """Takes `cost` tokens from the subject's bucket, if it has as many.

        A cost above the capacity is the capacity.
        """
        cost = min(cost, per_minute)
        async with self._redis.client("rate_limit"):
            allowed, left = await self._take(
                keys=[_bucket(subject)], args=[per_minute, WINDOW_SECONDS, cost]
            )
        return _allowance(bool(allowed), float(left), cost, per_minute)


class LocalLimiter:
    """Token buckets of this process: the latest `MAX_SUBJECTS` subjects.

    A subject that was dropped begins with a full bucket again.
    """

    MAX_SUBJECTS = 10_000

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, time

    def take(self, subject: str, *, per_minute: int, cost: int = 1) -> Allowance:
        """As `RateLimiter.take`."""
        cost, now = min(cost, per_minute), self._clock()
        tokens, at = self._buckets.pop(subject, (float(per_minute), now))
        tokens = min(per_minute, tokens + (now - at) * per_minute / WINDOW_SECONDS)
        allowed = tokens >= cost
        if allowed:
            tokens -= cost
        self._buckets[subject] = (tokens, now)
        if len(self._buckets) > self.MAX_SUBJECTS:
            self._buckets.popitem(last=False)
        return _allowance(allowed, tokens, cost, per_minute)


def _bucket(subject: str) -> str:
    return f"cart:rate:{subject}"
