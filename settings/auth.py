"""Settings of authentication: which tokens are accepted."""

from collections.abc import Iterator
from enum import StrEnum

from pydantic import AnyHttpUrl, SecretStr

from settings.base import SettingsGroup

SAMPLE_JWT_SECRET = "development-only-secret-change-me-before-production"  # noqa: S105
MIN_SECRET_BYTES = 32  # at least the hash's size (RFC 7518, 3.2)


class JwtAlgorithm(StrEnum):
    HS256 = "HS256"
    RS256 = "RS256"
    ES256 = "ES256"


class AuthSettings(SettingsGroup):
    """The issuer of tokens, and how its signatures are checked."""

    jwt_algorithm: JwtAlgorithm = JwtAlgorithm.HS256
    jwt_secret: SecretStr = SecretStr(SAMPLE_JWT_SECRET)
    jwt_jwks_url: AnyHttpUrl | None = None
    jwt_issuer: str = "cart-service"
    jwt_audience: str = "cart-service"

    def broken_rules(self) -> Iterator[str]:
        secret = self.jwt_secret.get_secret_value()
        if self.jwt_algorithm is not JwtAlgorithm.HS256:
            if self.jwt_jwks_url is None:
                yield f"JWT_JWKS_URL: must be set when JWT_ALGORITHM={self.jwt_algorithm}"
        elif len(secret.encode()) < MIN_SECRET_BYTES:
            yield f"JWT_SECRET: must have at least {MIN_SECRET_BYTES} bytes for HS256"
        yield from super().broken_rules()
