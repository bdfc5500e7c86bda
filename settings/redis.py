"""Settings of Redis."""

from collections.abc import Iterator
from functools import cached_property
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, field_validator

from settings.base import LOCALHOST, Port, SettingsGroup


class RedisSettings(SettingsGroup):
    """The Redis that holds cached carts, replies and rate limits."""

    redis_url: SecretStr | None = None
    redis_host: str | None = None
    redis_port: Port = 6379
    redis_password: SecretStr | None = None
    redis_db: int = Field(0, ge=0)

    # Checked by hand: `RedisDsn` does not allow sockets.
    @field_validator("redis_url")
    @classmethod
    def _is_a_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value and urlsplit(value.get_secret_value()).scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("must start with redis://, rediss:// or unix://")
        return value

    def broken_rules(self) -> Iterator[str]:
        yield from self.missing_in_production(
            "REDIS_URL or REDIS_HOST", self.redis_url or self.redis_host
        )
        yield from super().broken_rules()

    @cached_property
    def redis(self) -> SecretStr:
        """The Redis URL to connect to. `REDIS_URL` takes precedence over `REDIS_HOST` etc."""
        if self.redis_url:
            return self.redis_url
        password = self.redis_password.get_secret_value() if self.redis_password else ""
        login = f":{quote(password, safe='')}@" if password else ""
        return SecretStr(
            f"redis://{login}{self.redis_host or LOCALHOST}:{self.redis_port}/{self.redis_db}"
        )
