"""Settings of the product service, which is optional."""

import ssl
from collections.abc import Iterator
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from pydantic import AnyHttpUrl, Field, SecretStr, field_validator

from settings.base import SettingsGroup
from settings.credentials import checked_token
from settings.proxies import proxy_for
from settings.tls import CaFile, trusting


class ProductSettings(SettingsGroup):
    """The service that knows titles, images and prices, and what it is sent with each call."""

    product_service_url: AnyHttpUrl | None = None
    product_service_timeout_seconds: float = Field(1, gt=0, le=60)
    product_service_token: SecretStr | None = None
    product_service_tls_ca_file: CaFile | None = None

    @field_validator("product_service_token", mode="before")
    @classmethod
    def _token(cls, value: Any) -> Any:
        return checked_token(value) if isinstance(value, str) else value

    def broken_rules(self) -> Iterator[str]:
        if self.product_service_token and urlsplit(self.product_service).username is not None:
            yield (
                "PRODUCT_SERVICE_TOKEN and the login in PRODUCT_SERVICE_URL: set only one of them"
            )
        try:
            _ = self.product_service_proxy
        except ValueError as error:
            yield str(error)
        yield from super().broken_rules()

    @cached_property
    def product_service(self) -> str:
        """Base URL of the product service; empty without one."""
        return str(self.product_service_url or "").rstrip("/")

    @property
    def product_service_credentials(self) -> dict[str, str]:
        """The headers to send to the product service."""
        if self.product_service_token is None:
            return {}
        return {"Authorization": f"Bearer {self.product_service_token.get_secret_value()}"}

    @property
    def product_service_proxy(self) -> str | None:
        """The HTTP proxy on the way to the product service (`settings.proxies`)."""
        return proxy_for(self.product_service) if self.product_service else None

    def product_service_tls(self) -> ssl.SSLContext | None:
        """TLS to the product service; None for http."""
        if not self.product_service.startswith("https:"):
            return None
        return trusting(self.product_service_tls_ca_file)
