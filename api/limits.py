"""Rate limits: requests per minute for each user and each address."""

from http import HTTPStatus
from typing import Protocol

import structlog
from fastapi import Request

from adapters.redis.rate_limits import Allowance
from api.error_codes import ErrorCode
from api.errors import ApiError, problem
from models.errors import DependencyUnavailable

logger = structlog.stdlib.get_logger(__name__)


class Limiter(Protocol):
    """Takes requests out of buckets (`adapters.redis.rate_limits.RateLimiter`)."""

    async def take(self, subject: str, *, per_minute: int) -> Allowance: ...


class RateLimits:
    """Applies the limits that are on (not 0). While the limiter is unavailable, all pass."""

    def __init__(self, limiter: Limiter, *, per_user: int, per_address: int) -> None:
        self._limiter = limiter
        self._per_user = per_user
        self._per_address = per_address
        self.unlimited = 0  # requests that passed uncounted while the limiter is unavailable

    async def of_address(self, request: Request) -> Allowance | None:
        """The allowance of the client's address; raises `ApiError` (429) if it is used up."""
        address = request.client.host if request.client else "unknown"
        return await self._take(f"address:{address}", self._per_address)

    async def of_user(self, user_id: str) -> Allowance | None:
        """The allowance of the user; raises `ApiError` (429) if it is used up."""
        return await self._take(f"user:{user_id}", self._per_user)

    async def _take(self, subject: str, limit: int) -> Allowance | None:
        if not limit:
            return None
        try:
            allowance = await self._limiter.take(subject, per_minute=limit)
        except DependencyUnavailable as error:  # the circuit breaker logs it once
            logger.debug(
                "rate_limit_skipped", message=f"Request passed without a rate limit: {error}"
            )
            self.unlimited += 1
            return None
        if self.unlimited:
            logger.warning(
                "rate_limits_back", message="Rate limits apply again", unlimited=self.unlimited
            )
            self.unlimited = 0
        if not allowance.allowed:
            raise ApiError(
                problem(
                    HTTPStatus.TOO_MANY_REQUESTS,
                    f"Too many requests: at most {limit} a minute",
                    code=ErrorCode.RATE_LIMITED,
                    limit=limit,
                    headers=_headers(allowance) | {"Retry-After": str(allowance.wait_seconds)},
                )
            )
        return allowance


def limit_headers(*allowances: Allowance | None) -> list[tuple[bytes, bytes]]:
    """Headers for the allowance with the least left; none if no limit is on."""
    given = [allowance for allowance in allowances if allowance is not None]
    if not given:
        return []
    tightest = min(given, key=lambda allowance: allowance.remaining)
    return [(name.encode(), value.encode()) for name, value in _headers(tightest).items()]


def _headers(allowance: Allowance) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(allowance.limit),
        "RateLimit-Remaining": str(allowance.remaining),
        "RateLimit-Reset": str(allowance.full_seconds),
    }
