"""Rate limits: tokens per minute for each user and each address, and for new guests of an address.

A request costs one or more.
"""

from http import HTTPStatus
from ipaddress import IPv6Address, ip_address
from typing import Protocol

import structlog
from fastapi import Request

from adapters.redis.rate_limits import Allowance, LocalLimiter
from api.error_codes import ErrorCode
from api.errors import ApiError, problem
from models.errors import DependencyUnavailable
from models.user_id import path_safe

logger = structlog.stdlib.get_logger(__name__)

_PREFIX_BITS = 64  # what one customer has of IPv6 (RFC 6177)


class Limiter(Protocol):
    """Takes tokens out of buckets (`adapters.redis.rate_limits.RateLimiter`)."""

    async def take(self, subject: str, *, per_minute: int, cost: int) -> Allowance: ...


class RateLimits:
    """Applies the limits that are on (not 0).

    While the limiter is unavailable, each process counts for itself.
    """

    def __init__(
        self, limiter: Limiter, *, per_user: int, per_address: int, guests_per_address: int
    ) -> None:
        self._limiter = limiter
        self._local = LocalLimiter()
        self._per_user = per_user
        self._per_address = per_address
        self._guests_per_address = guests_per_address
        self.counted_locally = 0  # requests since the limiter is unavailable

    async def of_address(self, request: Request, cost: int) -> Allowance | None:
        """The allowance of the client's address; raises `ApiError` (429) if it is used up."""
        return await self._take(f"address:{_address(request)}", self._per_address, cost)

    async def of_new_guest(self, request: Request) -> Allowance | None:
        """The allowance of the client's address for new guests; raises `ApiError` (429)."""
        return await self._take(f"guests:{_address(request)}", self._guests_per_address, 1)

    async def of_user(self, user_id: str, cost: int) -> Allowance | None:
        """The allowance of the user; raises `ApiError` (429) if it is used up."""
        return await self._take(f"user:{path_safe(user_id)}", self._per_user, cost)

    async def _take(self, subject: str, limit: int, cost: int) -> Allowance | None:
        if not limit:
            return None
        try:
            allowance = await self._limiter.take(subject, per_minute=limit, cost=cost)
        except DependencyUnavailable as error:  # the circuit breaker logs it once
            logger.debug("rate_limit_local", message=f"Rate limit counted in the process: {error}")
            self.counted_locally += 1
            allowance = self._local.take(subject, per_minute=limit, cost=cost)
        else:
            self._note_return()
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

    def _note_return(self) -> None:
        if self.counted_locally:
            logger.warning(
                "rate_limits_back",
                message="Rate limits are counted in Redis again",
                countedLocally=self.counted_locally,
            )
            self.counted_locally = 0


def _address(request: Request) -> str:
    return address_key(request.client.host if request.client else "")


def address_key(host: str) -> str:
    """What counts as one address: IPv4 as it is, also mapped into IPv6; else the /64 network."""
    try:
        address = ip_address(host.partition("%")[0])  # without the zone of a link-local address
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        network = IPv6Address(int(address) >> _PREFIX_BITS << _PREFIX_BITS)
        return f"{network}/{_PREFIX_BITS}"
    return str(address)


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
