"""Settings of guests: the secrets that sign their tokens, and how long a token is valid."""

from collections.abc import Iterator

from pydantic import Field, SecretStr

from settings.auth import MIN_SECRET_BYTES, AuthSettings, JwtAlgorithm
from settings.base import comma_separated, is_loopback
from settings.server import ServerSettings

SAMPLE_GUEST_SECRET = "development-only-guest-secret-never-used-when-deployed"  # noqa: S105
MOST_GUEST_SECRETS = 5


class GuestSettings(ServerSettings, AuthSettings):
    """Guests are off without a secret. On a developer's machine there is a sample."""

    guest_token_secrets: SecretStr | None = None
    guest_token_days: float = Field(30, gt=0, le=3650)

    @property
    def secrets_of_guests(self) -> tuple[str, ...]:
        """The secrets: the first signs, all of them verify. Empty where guests are off."""
        if self.guest_token_secrets is not None:
            return comma_separated(self.guest_token_secrets.get_secret_value())
        is_private = is_loopback(self.host) and not self.environment.is_deployed
        return (SAMPLE_GUEST_SECRET,) if is_private else ()

    def broken_rules(self) -> Iterator[str]:
        if self.guest_token_secrets is not None:
            yield from self._broken_secrets(self.secrets_of_guests)
        yield from super().broken_rules()

    def _broken_secrets(self, secrets: tuple[str, ...]) -> Iterator[str]:
        if not 1 <= len(secrets) <= MOST_GUEST_SECRETS:
            yield (
                f"GUEST_TOKEN_SECRETS: must have 1 to {MOST_GUEST_SECRETS} secrets, separated by "
                "commas"
            )
        if any(len(secret.encode()) < MIN_SECRET_BYTES for secret in secrets):
            yield f"GUEST_TOKEN_SECRETS: each must have at least {MIN_SECRET_BYTES} bytes"
        if SAMPLE_GUEST_SECRET in secrets and self.environment.is_deployed:
            yield (
                f"GUEST_TOKEN_SECRETS: must not have the sample when ENVIRONMENT={self.environment}"
            )
        if (
            self.jwt_algorithm is JwtAlgorithm.HS256
            and self.jwt_secret.get_secret_value() in secrets
        ):
            yield "GUEST_TOKEN_SECRETS: must not have the secret of JWT_SECRET"
