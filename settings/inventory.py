"""Settings of the Inventory Service."""

import ssl
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AnyHttpUrl, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from settings.base import LOCALHOST, Port, Seconds, SettingsGroup
from settings.credentials import check_combination, checked_token, parsed_headers
from settings.proxies import proxy_for
from settings.tls import CaFile, add_certificate, trusting


class InventorySettings(SettingsGroup):
    """The service that reserves stock, and what it is sent with each call."""

    inventory_service_url: AnyHttpUrl | None = None
    inventory_port: Port = 4008
    inventory_timeout_seconds: Seconds = 5
    inventory_token: SecretStr | None = None
    inventory_headers: Annotated[dict[str, SecretStr], NoDecode] = {}
    inventory_tls_ca_file: CaFile | None = None
    inventory_client_cert: Path | None = None
    inventory_client_key: Path | None = None
    inventory_faults: bool = False

    @field_validator("inventory_token", "inventory_headers", mode="before")
    @classmethod
    def _credentials(cls, value: Any, field: ValidationInfo) -> Any:
        read = checked_token if field.field_name == "inventory_token" else parsed_headers
        return read(value) if isinstance(value, str) else value

    def broken_rules(self) -> Iterator[str]:
        try:
            check_combination(
                self.inventory,
                token=self.inventory_token is not None,
                headers=self.inventory_headers,
                certificate=self.inventory_client_cert,
                key=self.inventory_client_key,
            )
            self.inventory_tls()  # raises if its files cannot be used
            _ = self.inventory_proxy
        except ValueError as error:
            yield str(error)
        yield from self.missing_in_production("INVENTORY_SERVICE_URL", self.inventory_service_url)
        yield from super().broken_rules()

    @cached_property
    def inventory(self) -> str:
        """Base URL of the Inventory Service."""
        url = self.inventory_service_url or f"http://{LOCALHOST}:{self.inventory_port}"
        return str(url).rstrip("/")

    @property
    def inventory_credentials(self) -> dict[str, str]:
        """The headers to send to the Inventory Service."""
        headers = {name: text.get_secret_value() for name, text in self.inventory_headers.items()}
        if self.inventory_token:
            headers["Authorization"] = f"Bearer {self.inventory_token.get_secret_value()}"
        return headers

    @property
    def inventory_proxy(self) -> str | None:
        """The HTTP proxy on the way to the Inventory Service (`settings.proxies`)."""
        return proxy_for(self.inventory)

    def inventory_tls(self) -> ssl.SSLContext | None:
        """TLS to the Inventory Service, with the client's certificate if there is one.

        None for http. Raises `ValueError` for files that cannot be used.
        """
        if not self.inventory.startswith("https:"):
            return None
        context = trusting(self.inventory_tls_ca_file)
        if self.inventory_client_cert is not None:
            add_certificate(
                context,
                self.inventory_client_cert,
                self.inventory_client_key,
                names="INVENTORY_CLIENT_CERT, INVENTORY_CLIENT_KEY",
            )
        return context
