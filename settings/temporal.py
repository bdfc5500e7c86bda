"""Settings of Temporal; the SDK reads the variables of its connection."""

from dataclasses import dataclass
from functools import cached_property

from pydantic import AnyHttpUrl, Field

from settings.base import LOCALHOST, Port, SettingsGroup


class TemporalSettings(SettingsGroup):
    """Where workflows run, and how links to the Web UI are made."""

    temporal_task_queue: str = "cart"
    # Temporal's worker controller names deployments NAMESPACE/NAME.
    temporal_deployment_name: str = Field("cart", pattern=r"^[A-Za-z0-9_/-]{1,130}$")
    temporal_worker_build_id: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{1,100}$")
    temporal_port: Port = 7233
    temporal_ui_port: Port = 8233
    temporal_ui_url: AnyHttpUrl | None = None

    @cached_property
    def temporal_ui(self) -> str:
        """Base URL of the Temporal Web UI, for links."""
        url = self.temporal_ui_url or f"http://{LOCALHOST}:{self.temporal_ui_port}"
        return str(url).rstrip("/")


@dataclass(frozen=True)
class TemporalAddress:
    """Where Temporal is, by the SDK's own variables and files."""

    address: str
    is_encrypted: bool


def temporal_address(port: int) -> TemporalAddress:
    """The address by the SDK's own configuration, or the local stack's at `port`.

    Raises `RuntimeError`, `OSError` or `ValueError` when the configuration cannot be read.
    """
    # Imported when it is needed: it takes longer than all other settings.
    from temporalio.envconfig import ClientConfig  # noqa: PLC0415

    config = ClientConfig.load_client_connect_config()
    return TemporalAddress(
        address=config.get("target_host") or f"{LOCALHOST}:{port}",
        is_encrypted=bool(config.get("tls")),
    )
