"""Authentication: bearer tokens (JWT) of the issuer, with one pinned algorithm, and of guests.

HS256 uses the shared secret of development, all others the issuer's keys (`api.auth.jwks`). This
module checks that a token is valid here and now; `api.auth.claims` reads what it says of its user.
`api.auth.guests` verifies the tokens of guests.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import httpx
import jwt
from jwt.types import Options

from api.auth.claims import ClaimError, Claims, Principal, claim, principal_of
from api.auth.guests import GuestTokens, is_guest_token
from api.auth.jwks import JwksKeys, KeysUnavailableError, UnknownKeyError
from api.auth.keys import names_of
from api.error_codes import ErrorCode
from api.errors import RETRY_AFTER, ApiError, problem, unauthorized
from settings import JwtAlgorithm, Settings

MAX_KEYS_TRIED = 10
MAX_SHOWN = 200
# Access tokens (RFC 9068), and what issuers write before it. Not `logout+jwt` and other kinds.
_TYPES = {"jwt", "at+jwt"}
_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


_OPTIONS: Options = {
    "require": ["exp"],
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


class Authenticator:
    """Turns an `Authorization` header into a `Principal`; raises `ApiError` (401, 503)."""

    def __init__(
        self, settings: Settings, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.guests = GuestTokens(settings)
        self._settings = settings
        self._algorithms = names_of(settings.jwt_algorithm.value)
        self._issuers = frozenset(settings.jwt_issuers)
        self._audiences = frozenset(settings.jwt_audiences)
        self._secret = settings.jwt_secret.get_secret_value()
        self._keys: JwksKeys | None = None
        if settings.jwt_algorithm is not JwtAlgorithm.HS256 and settings.jwt_jwks_url:
            self._keys = JwksKeys(
                str(settings.jwt_jwks_url),
                settings.jwt_algorithm.value,
                keep_hours=settings.jwt_keys_max_age_hours,
                transport=transport,
            )

    async def close(self) -> None:
        if self._keys is not None:
            await self._keys.close()

    async def principal(self, authorization: str | None) -> Principal:
        """The principal of a request."""
        token = _token(authorization)
        try:
            if is_guest_token(token):
                return self.guests.principal(token)
            claims = await self._verified(token)
            self._check(claims)
            return principal_of(claims, self._settings)
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
        except (jwt.PyJWTError, UnknownKeyError, *_GARBAGE) as error:
            raise unauthorized("Token is invalid", reason=why_invalid(error)) from None

    async def _verified(self, token: str) -> Claims:
        """The claims of a token whose signature and times are valid."""
        if self._keys is None:
            return self._decoded(token, [self._secret])
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in self._algorithms:
            raise jwt.InvalidAlgorithmError
        kid = header.get("kid")
        keys = await self._keys.keys(kid)
        try:
            return self._decoded(token, keys)
        except jwt.InvalidSignatureError:
            newer = await self._keys.newer_keys(kid, keys)
            if not newer:
                raise
            return self._decoded(token, newer)

    def _decoded(self, token: str, keys: Sequence[Any]) -> Claims:
        """The claims; raises `jwt.InvalidSignatureError` if none of the keys has signed them."""
        for key in keys[:MAX_KEYS_TRIED]:
            try:
                decoded = jwt.decode_complete(
                    token,
                    key,
                    algorithms=self._algorithms,
                    leeway=self._settings.jwt_leeway_seconds,
                    options=_OPTIONS,
                )
            except jwt.InvalidSignatureError:
                continue
            _check_header(decoded["header"])
            claims: Claims = decoded["payload"]
            return claims
        raise jwt.InvalidSignatureError

    def _check(self, claims: Claims) -> None:
        """Checks what PyJWT does not check, or not as strictly. Raises `ClaimError`."""
        for name in ("exp", "nbf", "iat"):
            if name in claims and not _is_number(claims[name]):
                raise ClaimError(f"{name} must be a number of seconds")
        issuer = claims.get("iss")
        if self._issuers and (not isinstance(issuer, str) or issuer not in self._issuers):
            raise ClaimError(f"another issuer than JWT_ISSUER: {_shown(issuer)}")
        audience = claim(claims, self._settings.jwt_audience_claim)
        named = audience if isinstance(audience, list) else [audience]
        accepted = (isinstance(one, str) and one in self._audiences for one in named)
        if self._audiences and not any(accepted):
            raise ClaimError(f"another audience than JWT_AUDIENCE: {_shown(audience)}")
        events = claims.get("events")
        if isinstance(events, dict) and _LOGOUT_EVENT in events:
            raise ClaimError("a logout token, which does not authenticate a user")


def _check_header(header: dict[str, Any]) -> None:
    """Raises `ClaimError` for a token of another kind."""
    if "crit" in header:  # no extension is known (RFC 7515, 4.1.11)
        raise ClaimError("crit names an extension that is not supported")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise ClaimError(f"typ is {_shown(kind)}, not JWT or at+jwt")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """A claim for the log: ASCII without control characters, and bounded."""
    return ascii(value)[:MAX_SHOWN]


# Raised by PyJWT for a token whose parts are not the JSON that it expects.
_GARBAGE = (ValueError, TypeError, AttributeError, OverflowError, RecursionError)


def why_invalid(error: Exception) -> str:
    """Why a token is not accepted, for the log.

    Of a token it has at most an issuer, an audience or a type, and nothing of its user.
    """
    if isinstance(error, ClaimError):
        return str(error)
    for kind, why in _REASONS.items():
        if isinstance(error, kind):
            return why
    return "malformed"


_REASONS: dict[type[Exception], str] = {
    jwt.InvalidSignatureError: "signed with another key",
    jwt.ImmatureSignatureError: "not valid yet",
    jwt.InvalidAlgorithmError: "another algorithm than JWT_ALGORITHM",
    jwt.MissingRequiredClaimError: "exp is missing",
    UnknownKeyError: "signed with a key that the issuer does not have",
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
