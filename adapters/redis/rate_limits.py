"""Redis: rate limits as token buckets.

A bucket holds the requests of one minute and refills evenly. It uses the clock of Redis, so that
all API processes agree.

Not a library, because `limits` has windows (fixed, moving, sliding) but no token bucket.
"""

import math
from dataclasses import dataclass

from adapters.redis.pool import RedisPool

WINDOW_SECONDS = 60

_TAKE = """
local capacity, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(bucket[1] or capacity), tonumber(bucket[2] or now)
-- What no request of this limit can have left is a full bucket. Comparisons with NaN are false.
local plausible = tokens and at and tokens >= 0 and tokens <= capacity
if not (plausible and at > now - 2 * window and at <= now) then
  tokens, at = capacity, now
end
tokens = math.min(capacity, tokens + (now - at) * capacity / window)
local taken = tokens >= 1
if taken then tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(now))
redis.call('EXPIRE', KEYS[1], window)
return {taken and 1 or 0, tostring(tokens)}
"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """The state of a bucket after a request.

    `wait_seconds` is the time until the next token, `full_seconds` the time until the bucket is
    full. Both are rounded up.
    """

    allowed: bool
    limit: int
    remaining: int
    wait_seconds: int
    full_seconds: int


class RateLimiter:
    """Token buckets. Raises `DependencyUnavailable` when Redis does not answer."""

    def __init__(self, redis: RedisPool) -> None:
        self._redis = redis
        self._take = redis.script(_TAKE)

    async def forget(self, subject: str) -> None:
        """Deletes the subject's bucket."""
        async with self._redis.client("rate_limit") as redis:
            await redis.delete(_bucket(subject))

    async def take(self, subject: str, *, per_minute: int) -> Allowance:
        """Takes one token from the subject's bucket, if it has one."""
        async with self._redis.client("rate_limit"):
            allowed, left = await self._take(
                keys=[_bucket(subject)], args=[per_minute, WINDOW_SECONDS]
            )
        tokens, per_second = float(left), per_minute / WINDOW_SECONDS
        return Allowance(
            allowed=bool(allowed),
            limit=per_minute,
            remaining=int(tokens),
            wait_seconds=max(1, math.ceil((1 - tokens) / per_second)),
            full_seconds=math.ceil((per_minute - tokens) / per_second),
        )


def _bucket(subject: str) -> str:
    return f"cart:rate:{subject}"
