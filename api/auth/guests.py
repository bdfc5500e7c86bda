"""Tokens of guests: this service signs them, and accepts them beside those of the issuer.

`typ`, which the signature covers, distinguishes them: a guest's token is verified with the secrets
of guests only, and any other token never is. So neither is accepted as the other, whatever its
issuer, algorithm and claims are, and also where both have the same secret.
Of a guest's token only `sub` is read: no claim makes a guest an admin.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
from jwt.types import Options

from api.auth.claims import ClaimError, Principal
from models.guests import is_guest_id, new_guest_id
from settings import Settings

GUEST_TYPE = "guest+jwt"
_ALGORITHM = "HS256"
_ISSUER = "cart-service-guests"
_OPTIONS: Options = {"require": ["exp", "iat", "sub", "iss", "aud"]}


@dataclass(frozen=True, slots=True)
class GuestToken:
    """A new guest, and the token with which it is authenticated until `expires_at`."""

    guest_id: str
    token: str
    expires_at: datetime


class GuestTokens:
    """Issues and verifies tokens of guests, if there is a secret for them."""

    def __init__(self, settings: Settings) -> None:
        self._secrets = settings.secrets_of_guests
        self._valid_for = timedelta(days=settings.guest_token_days)
        self._leeway = settings.jwt_leeway_seconds

    @property
    def are_on(self) -> bool:
        """Whether there are guests."""
        return bool(self._secrets)

    def issue(self) -> GuestToken:
        """A new guest with its token. Raises `ValueError` where guests are off."""
        return self.token_of(new_guest_id())

    def token_of(self, guest_id: str) -> GuestToken:
        """A new token of a guest. Raises `ValueError` where guests are off."""
        if not self._secrets:
            raise ValueError("guests are off")
        now = datetime.now(UTC)
        # In whole seconds, as most libraries read them.
        expires_at = (now + self._valid_for).replace(microsecond=0)
        claims = {
            "iss": _ISSUER,
            "aud": _ISSUER,
            "sub": guest_id,
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        token = jwt.encode(
            claims, self._secrets[0], algorithm=_ALGORITHM, headers={"typ": GUEST_TYPE}
        )
        return GuestToken(guest_id, token, expires_at)

    def principal(self, token: str) -> Principal:
        """The user of a guest's token. Raises like `guest_id`."""
        guest_id = self.guest_id(token)
        expires_at = jwt.decode(token, options={"verify_signature": False})["exp"] + self._leeway
        return Principal(user_id=guest_id, is_guest=True, expires_at=expires_at)

    def guest_id(self, token: str) -> str:
        """The guest of a token. Raises `jwt.PyJWTError` or `ClaimError` for one that is invalid."""
        if not self._secrets:
            raise ClaimError("a guest's token, and guests are off")
        if not is_guest_token(token):
            raise ClaimError(f"typ is not {GUEST_TYPE}")
        for secret in self._secrets:
            try:
                claims = jwt.decode(
                    token,
                    secret,
                    algorithms=[_ALGORITHM],
                    issuer=_ISSUER,
                    audience=_ISSUER,
                    leeway=self._leeway,
                    options=_OPTIONS,
                )
            except jwt.InvalidSignatureError:
                continue
            guest_id = claims["sub"]
            if not is_guest_id(guest_id):
                raise ClaimError("sub is no guest's id")
            return str(guest_id)
        raise jwt.InvalidSignatureError


def is_guest_token(token: str) -> bool:
    """Whether a token claims to be a guest's. Raises `jwt.PyJWTError` for one without a header."""
    return jwt.get_unverified_header(token).get("typ") == GUEST_TYPE
