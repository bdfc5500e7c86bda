"""Settings of authentication: which tokens are accepted, and which of their claims are read."""

import os
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from pydantic import AnyHttpUrl, Field, SecretStr, model_validator

from settings.base import Environment, SettingsGroup, comma_separated
from settings.proxies import proxy_for

SAMPLE_JWT_SECRET = "development-only-secret-change-me-before-production"  # noqa: S105
MIN_SECRET_BYTES = 32  # at least the hash's size (RFC 7518, 3.2)
_NONE_ON_PURPOSE = ("jwt_issuer", "jwt_audience")


class JwtAlgorithm(StrEnum):
    """HS256 has a shared secret, all others the issuer's public keys (RFC 7518, RFC 8037)."""

    HS256 = "HS256"
    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    EDDSA = "EdDSA"


class AuthSettings(SettingsGroup):
    """The issuer of tokens, how its signatures are checked, and the names of its claims."""

    jwt_algorithm: JwtAlgorithm = JwtAlgorithm.HS256
    jwt_secret: SecretStr = SecretStr(SAMPLE_JWT_SECRET)
    jwt_jwks_url: AnyHttpUrl | None = None
    jwt_keys_max_age_hours: float = Field(24, gt=0, le=720)
    jwt_issuer: str = "cart-service"
    jwt_audience: str = "cart-service"
    jwt_audience_claim: str = "aud"
    jwt_leeway_seconds: float = Field(60, ge=0, le=600)
    jwt_roles_claim: str = "roles"
    jwt_stores_claim: str = "store_ids"
    jwt_name_claim: str = "name"
    jwt_email_claim: str = "email"
    jwt_admin_role: str = "admin"

    @model_validator(mode="before")
    @classmethod
    def _set_to_empty(cls, values: Any) -> Any:
        """Keeps a variable that is set to empty on purpose; all others count as absent then."""
        environment = {name.lower(): value for name, value in os.environ.items()}
        empty = {name: "" for name in _NONE_ON_PURPOSE if environment.get(name) == ""}
        return empty | values if isinstance(values, dict) else values

    @property
    def jwt_issuers(self) -> tuple[str, ...]:
        """The accepted issuers; empty if the issuer is not checked."""
        return comma_separated(self.jwt_issuer)

    @property
    def jwt_audiences(self) -> tuple[str, ...]:
        """The accepted audiences; empty if the audience is not checked."""
        return comma_separated(self.jwt_audience)

    @property
    def jwks_proxy(self) -> str | None:
        """The HTTP proxy on the way to the issuer's keys (`settings.proxies`)."""
        return proxy_for(str(self.jwt_jwks_url)) if self.jwt_jwks_url else None

    def broken_rules(self) -> Iterator[str]:
        secret = self.jwt_secret.get_secret_value()
        if self.jwt_algorithm is not JwtAlgorithm.HS256:
            if self.jwt_jwks_url is None:
                yield f"JWT_JWKS_URL: must be set when JWT_ALGORITHM={self.jwt_algorithm}"
        elif len(secret.encode()) < MIN_SECRET_BYTES:
            yield f"JWT_SECRET: must have at least {MIN_SECRET_BYTES} bytes for HS256"
        try:
            _ = self.jwks_proxy
        except ValueError as error:
            yield str(error)
        if self.environment is Environment.PRODUCTION:
            for field in _NONE_ON_PURPOSE:
                if field not in self.model_fields_set:
                    name = field.upper()
                    rule = "must be set when ENVIRONMENT=production"
                    yield f"{name}: {rule}; an empty value (`{name}=`) accepts any"
        yield from super().broken_rules()
