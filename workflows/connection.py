"""The connection to Temporal, and what its errors mean here."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.service import RetryConfig, RPCError

from models.errors import DependencyUnavailable
from settings import LOCALHOST, Settings
from workflows.interceptors import interceptors
from workflows.payloads import DATA_CONVERTER

RPC_TIMEOUT = timedelta(seconds=2)


async def connect(settings: Settings, *, lazy: bool = False) -> Client:
    """A client by Temporal's own environment configuration (address, namespace, TLS, API key).

    Where that names no address it is the local stack's. A call gives up after `RPC_TIMEOUT`, not
    after the SDK's ten seconds, because a caller waits.
    """
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", f"{LOCALHOST}:{settings.temporal_port}")
    return await Client.connect(
        **config,
        data_converter=DATA_CONVERTER,
        interceptors=interceptors(),
        lazy=lazy,
        retry_config=RetryConfig(
            max_interval_millis=500,
            max_elapsed_time_millis=round(RPC_TIMEOUT.total_seconds() * 1000),
        ),
    )


@contextmanager
def as_unavailable() -> Iterator[None]:
    """Raises `DependencyUnavailable` for an error of Temporal inside."""
    try:
        yield
    except (RPCError, RuntimeError) as error:
        raise DependencyUnavailable("temporal", str(error)) from error
