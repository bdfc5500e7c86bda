"""The token buckets of the rate limits on Redis."""

import asyncio
from uuid import uuid4

from adapters.redis.pool import RedisPool
from adapters.redis.rate_limits import RateLimiter
from tests.support.shop import World


async def test_a_bucket_allows_its_limit_and_refills(world: World) -> None:
    redis = RedisPool(world.settings.redis)
    limiter = RateLimiter(redis)
    who = uuid4().hex
    try:
        taken = []
        for _ in range(13):  # ten at once, as more would wait for connections on a slow machine
            taken += await asyncio.gather(*(limiter.take(who, per_minute=120) for _ in range(10)))
        allowed = [allowance for allowance in taken if allowance.allowed]
        assert 120 <= len(allowed) <= 125  # it refills by two a second meanwhile
        refused = next(allowance for allowance in taken if not allowance.allowed)
        assert (refused.limit, refused.remaining, refused.wait_seconds) == (120, 0, 1)
        assert (await limiter.take(uuid4().hex, per_minute=120)).allowed
        who = uuid4().hex
        costly = [await limiter.take(who, per_minute=10, cost=4) for _ in range(3)]
        assert [allowance.allowed for allowance in costly] == [True, True, False]
        assert 6 <= costly[-1].wait_seconds <= 12  # two tokens more
        assert (await limiter.take(uuid4().hex, per_minute=2, cost=5)).allowed
    finally:
        await redis.close()
