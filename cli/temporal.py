"""Temporal as the commands see it: where it is.

For looking only; cart workflows are started and signalled by `workflows.gateway` alone.
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
    """What Temporal's own environment configuration says, and the local stack's address where it
    says none. Raises `RuntimeError` when it cannot be read.

    `is_set` tells whether somebody has named an address.
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
