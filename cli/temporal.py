"""The address of Temporal, and a client for reading.

Only `workflows.gateway` starts and signals cart workflows.
"""

from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.envconfig import ClientConfig

from settings import LOCALHOST, Settings

RPC_TIMEOUT = timedelta(seconds=1.5)
DEFAULT_NAMESPACE = "default"
_LOCAL_HOSTS = (LOCALHOST, "localhost", "[::1]", "0.0.0.0")


class TemporalPlace:
    """Temporal's own environment configuration, with the local stack's address as the default.

    `is_set`: the configuration names an address. Raises `RuntimeError` when it cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self.config: dict[str, Any] = {**ClientConfig.load_client_connect_config()}
        self.is_set = bool(self.config.get("target_host"))
        if not self.is_set:
            self.config["target_host"] = f"{LOCALHOST}:{settings.temporal_port}"
        self.address: str = self.config["target_host"]
        self.namespace: str = self.config.get("namespace") or DEFAULT_NAMESPACE

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        return self.address.rpartition(":")[0] in _LOCAL_HOSTS

    async def connect(self) -> Client:
        """A client; raises `RuntimeError` when the server does not answer."""
        return await Client.connect(**self.config)
