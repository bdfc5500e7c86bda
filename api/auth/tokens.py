"""Authentication: bearer tokens (JWT) with one pinned algorithm.

HS256 uses the shared secret of development; RS256 and ES256 the issuer's keys (`api.auth.jwks`).
What a principal may do beyond the own cart is `Principal.administers`.
"""

from http import HTTPStatus
from typing import Any, Literal

import httpx
import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.auth.jwks import JwksKeys, KeysUnavailableError, UnknownKeyError
from api.auth.roles import ADMIN, ALL_STORES
from api.error_codes import ErrorCode
from api.errors import RETRY_AFTER, ApiError, problem, unauthorized
from api.schemas import EntityId
from settings import JwtAlgorithm, Settings


class _Claims(BaseModel):
    """The claims that are read; all others are ignored."""

    model_config = ConfigDict(strict=True)

    sub: EntityId
    name: str | None = Field(None, max_length=500)
    email: str | None = Field(None, max_length=254)
    roles: list[str] = []
    store_ids: list[str] | Literal["*"] = []


class Principal(BaseModel):
    """The authenticated user of a request."""

    model_config = ConfigDict(frozen=True)

    user_id: str
    name: str | None = None
    email: str | None = None
    roles: frozenset[str] = frozenset()
    store_ids: frozenset[str] = frozenset()

    def administers(self, store_id: str) -> bool:
        """Whether the principal is an admin of the store, or of `ALL_STORES`."""
        return ADMIN in self.roles and not self.store_ids.isdisjoint({store_id, ALL_STORES})


class Authenticator:
    """Turns an `Authorization` header into a `Principal`; raises `ApiError` (401, 503)."""

    def __init__(
        self, settings: Settings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._algorithm = settings.jwt_algorithm.value
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._secret = settings.jwt_secret.get_secret_value()
        self._keys: JwksKeys | None = None
        if settings.jwt_algorithm is not JwtAlgorithm.HS256 and settings.jwt_jwks_url:
            self._keys = JwksKeys(str(settings.jwt_jwks_url), self._algorithm, transport=transport)

    async def close(self) -> None:
        if self._keys is not None:
            await self._keys.close()

    async def principal(self, authorization: str | None) -> Principal:
        """The principal of a request."""
        claims = await self._claims(_token(authorization))
        stores = claims.store_ids
        return Principal(
            user_id=claims.sub,
            name=claims.name or None,
            email=claims.email or None,
            roles=frozenset(claims.roles),
            store_ids=frozenset({stores} if isinstance(stores, str) else stores),
        )

    async def _claims(self, token: str) -> _Claims:
        try:
            payload: Any = jwt.decode(
                token,
                await self._key(token),
                algorithms=[self._algorithm],
                audience=self._audience,
                issuer=self._issuer,
                # An `iat` in the future is accepted (RFC 7519, 4.1.6): clocks differ.
                options={"require": ["exp", "iss", "aud", "sub"], "verify_iat": False},
            )
            return _Claims.model_validate(payload)
        except jwt.ExpiredSignatureError:
            raise unauthorized(
                "Token has expired", reason="expired", code=ErrorCode.TOKEN_EXPIRED
            ) from None
        except KeysUnavailableError:
            message = "Tokens cannot be checked now; try again"
            code = ErrorCode.SIGNING_KEYS_UNAVAILABLE
            raise ApiError(
                problem(HTTPStatus.SERVICE_UNAVAILABLE, message, code=code, headers=RETRY_AFTER)
            ) from None
        except (jwt.PyJWTError, UnknownKeyError, ValidationError, *_GARBAGE) as error:
            raise unauthorized("Token is invalid", reason=_why(error)) from None

    async def _key(self, token: str) -> Any:
        if self._keys is None:
            return self._secret
        header = jwt.get_unverified_header(token)
        if header.get("alg") != self._algorithm:
            raise jwt.InvalidAlgorithmError
        return await self._keys.key(header.get("kid"))


# Raised by PyJWT for a token whose parts are not the JSON that it expects.
_GARBAGE = (ValueError, TypeError, AttributeError, RecursionError)


def _why(error: Exception) -> str:
    """Why a token is not accepted, for the log, without anything from the token."""
    for kind, why in _REASONS.items():
        if isinstance(error, kind):
            return why
    return "malformed"


_REASONS: dict[type[Exception], str] = {
    jwt.InvalidSignatureError: "signed with another key",
    jwt.InvalidIssuerError: "another issuer than JWT_ISSUER",
    jwt.InvalidAudienceError: "another audience than JWT_AUDIENCE",
    jwt.ImmatureSignatureError: "not valid yet",
    jwt.InvalidAlgorithmError: "another algorithm than JWT_ALGORITHM",
    jwt.MissingRequiredClaimError: "a required claim is missing",
    UnknownKeyError: "signed with a key that the issuer does not have",
    ValidationError: "a claim has the wrong form",
}


def _token(authorization: str | None) -> str:
    if not authorization:
        message = "Authentication required: no bearer token was sent"
        raise unauthorized(message, reason="no token", code=ErrorCode.TOKEN_MISSING)
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        message = "Authentication required: the scheme must be Bearer"
        reason = "another scheme than Bearer"
        raise unauthorized(message, reason=reason, code=ErrorCode.TOKEN_MISSING)
    return token.strip()
