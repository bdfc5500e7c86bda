"""Settings of Redis."""

from collections.abc import Iterator
from functools import cached_property
from urllib.parse import parse_qsl, quote, urlsplit

from pydantic import Field, SecretStr, field_validator

from settings.base import LOCALHOST, Port, SettingsGroup
from settings.tls import CaFile

_TLS = "rediss"


class RedisSettings(SettingsGroup):
    """The Redis that holds cached carts, replies and rate limits."""

    redis_url: SecretStr | None = None
    redis_host: str | None = None
    redis_port: Port = 6379
    redis_username: str | None = None
    redis_password: SecretStr | None = None
    redis_db: int = Field(0, ge=0)
    redis_tls: bool = False
    redis_tls_ca_file: CaFile | None = None

    # Checked by hand: `RedisDsn` does not allow sockets.
    @field_validator("redis_url")
    @classmethod
    def _is_a_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return value
        url = value.get_secret_value()
        if urlsplit(url).scheme not in {"redis", _TLS, "unix"}:
            raise ValueError("must start with redis://, rediss:// or unix://")
        try:
            _ = urlsplit(url).port
        except ValueError:
            raise ValueError(
                "must have a host and a port, and its user and password percent-encoded: %40 for "
                "@, %3A for :, %2F for /"
            ) from None
        database = urlsplit(url).path.removeprefix("/")
        if urlsplit(url).scheme != "unix" and database and not database.isdigit():
            # The client would take another word for database 0.
            raise ValueError("must end with the number of a database, or without one")
        return value

    def broken_rules(self) -> Iterator[str]:
        if self.redis_username and not self.redis_password and self.redis_url is None:
            yield "REDIS_PASSWORD: must be set with REDIS_USERNAME"
        if self.redis_tls_ca_file and urlsplit(self._redis_address).scheme != _TLS:
            yield "REDIS_TLS_CA_FILE: needs a REDIS_URL that starts with rediss://, or REDIS_TLS"
        yield from self.missing_in_production(
            "REDIS_URL or REDIS_HOST", self.redis_url or self.redis_host
        )
        yield from super().broken_rules()

    @cached_property
    def redis(self) -> SecretStr:
        """The Redis URL to connect to. `REDIS_URL` takes precedence over `REDIS_HOST` etc."""
        url = self._redis_address
        if self.redis_tls_ca_file is not None and "ssl_ca_certs" not in self.redis_options:
            file = quote(str(self.redis_tls_ca_file), safe="")
            url += f"{'&' if '?' in url else '?'}ssl_ca_certs={file}"
        return SecretStr(url)

    @cached_property
    def redis_options(self) -> dict[str, str]:
        """The options in `REDIS_URL`."""
        return dict(parse_qsl(urlsplit(self._redis_address).query))

    @cached_property
    def _redis_address(self) -> str:
        if self.redis_url:
            return self.redis_url.get_secret_value()
        password = self.redis_password.get_secret_value() if self.redis_password else ""
        user = quote(self.redis_username or "", safe="")
        login = f"{user}:{quote(password, safe='')}@" if password else ""
        host = self.redis_host or LOCALHOST
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        scheme = _TLS if self.redis_tls else "redis"
        return f"{scheme}://{login}{host}:{self.redis_port}/{self.redis_db}"
