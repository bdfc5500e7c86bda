"""Rate limits: so many requests a minute for a user, and for an address."""

import logging
from http import HTTPStatus
from typing import Protocol

from fastapi import Request

from adapters.rate_limits import Allowance
from api.errors import Answer, ApiError, problem
from models.errors import DependencyUnavailable

logger = logging.getLogger(__name__)


class Limiter(Protocol):
    """Takes requests out of buckets (`adapters.rate_limits.RateLimiter`)."""

    async def take(self, who: str, *, per_minute: int) -> Allowance: ...


class RateLimits:
    """Asks the limiter only for the limits that are on (not 0)."""

    def __init__(self, limiter: Limiter, *, per_user: int, per_address: int) -> None:
        self._limiter = limiter
        self._per_user = per_user
        self._per_address = per_address

    async def check(self, request: Request, user_id: str) -> list[tuple[bytes, bytes]]:
        """The headers that tell what is left; raises `ApiError` (429) when nothing is."""
        address = request.client.host if request.client else "unknown"
        allowances = [
            await self._take(f"{kind}:{who}", limit)
            for kind, who, limit in (
                ("address", address, self._per_address),
                ("user", user_id, self._per_user),
            )
            if limit
        ]
        tightest = min(
            (allowance for allowance in allowances if allowance is not None),
            key=lambda allowance: (allowance.allowed, allowance.remaining),
            default=None,
        )
        if tightest is None:
            return []
        if not tightest.allowed:
            raise ApiError(_too_many(tightest))
        return [(name.encode(), value.encode()) for name, value in _headers(tightest).items()]

    async def _take(self, who: str, limit: int) -> Allowance | None:
        try:
            return await self._limiter.take(who, per_minute=limit)
        except DependencyUnavailable as error:  # the breaker warns, once
            logger.debug("Request is not counted: %s", error)
            return None


def _headers(allowance: Allowance) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(allowance.limit),
        "RateLimit-Remaining": str(allowance.remaining),
        "RateLimit-Reset": str(allowance.full_seconds),
    }


def _too_many(allowance: Allowance) -> Answer:
    headers = _headers(allowance) | {"Retry-After": str(allowance.wait_seconds)}
    message = f"Too many requests: at most {allowance.limit} a minute"
    return problem(HTTPStatus.TOO_MANY_REQUESTS, message, code="rate_limited", headers=headers)
