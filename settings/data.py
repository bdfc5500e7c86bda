"""Settings of stored data: the secrets that protect it."""

from collections.abc import Iterator

from pydantic import SecretStr

from settings.base import SettingsGroup, comma_separated

SAMPLE_DATA_SECRET = "development-only-data-secret-change-me-in-production"  # noqa: S105
MIN_DATA_SECRET_BYTES = 32
MOST_DATA_SECRETS = 5


class DataSettings(SettingsGroup):
    """Secrets of which the keys for personal data and for values in Redis are derived."""

    data_secrets: SecretStr = SecretStr(SAMPLE_DATA_SECRET)

    def broken_rules(self) -> Iterator[str]:
        secrets = self.secrets_of_data
        if not 1 <= len(secrets) <= MOST_DATA_SECRETS:
            yield f"DATA_SECRETS: must have 1 to {MOST_DATA_SECRETS} secrets, separated by commas"
        if any(len(secret.encode()) < MIN_DATA_SECRET_BYTES for secret in secrets):
            yield f"DATA_SECRETS: each must have at least {MIN_DATA_SECRET_BYTES} bytes"
        if self.environment.is_deployed and SAMPLE_DATA_SECRET in secrets:
            yield f"DATA_SECRETS: must not have the sample when ENVIRONMENT={self.environment}"
        yield from super().broken_rules()

    @property
    def secrets_of_data(self) -> tuple[str, ...]:
        """The secrets: the first is used to write, all of them to read."""
        return comma_separated(self.data_secrets.get_secret_value())
