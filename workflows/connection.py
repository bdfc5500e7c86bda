"""The connection to Temporal, and what its errors mean here."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.envconfig import ClientConfig
from temporalio.service import RetryConfig, RPCError, RPCStatusCode

from models.errors import DependencyRefuses, DependencyUnavailable
from settings import LOCALHOST, Settings
from workflows.interceptors import interceptors
from workflows.payloads import DATA_CONVERTER

RPC_TIMEOUT = timedelta(seconds=2)
_LOGIN = "check TEMPORAL_API_KEY or the client's certificate, and TEMPORAL_NAMESPACE"
_NO_NAMESPACE = "temporal.api.errordetails.v1.NamespaceNotFoundFailure"


async def connect(settings: Settings, *, lazy: bool = False) -> Client:
    """A client by Temporal's own environment configuration (address, namespace, TLS, API key).

    Where that names no address it is the local stack's. A call gives up after `RPC_TIMEOUT`, not
    after the SDK's ten seconds, because a caller waits. Raises `DependencyUnavailable`, unless
    `lazy`, when the server does not answer.
    """
    config: dict[str, Any] = {**ClientConfig.load_client_connect_config()}
    config.setdefault("target_host", f"{LOCALHOST}:{settings.temporal_port}")
    try:
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
    except RuntimeError as error:
        tls = "with TLS" if config.get("tls") else "without TLS"
        detail = f"cannot connect to {config['target_host']} {tls} (see TEMPORAL_TLS…): {error}"
        raise DependencyUnavailable("temporal", detail) from error


async def check_namespace(client: Client) -> None:
    """Raises `DependencyRefuses` when this client may not use its namespace, or there is none."""
    with as_unavailable():
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=RPC_TIMEOUT
        )


def unavailable(error: RPCError | RuntimeError) -> DependencyUnavailable:
    """What an error of a call means. Its text says which setting to look at, if one is wrong."""
    if isinstance(error, RPCError):
        if error.status in {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED}:
            return DependencyRefuses("temporal", f"{error.message}: {_LOGIN}")
        details = error.grpc_status.details
        if any(detail.type_url.endswith(_NO_NAMESPACE) for detail in details):
            return DependencyRefuses("temporal", f"{error.message}: see TEMPORAL_NAMESPACE")
    return DependencyUnavailable("temporal", str(error))


@contextmanager
def as_unavailable() -> Iterator[None]:
    """Raises `DependencyUnavailable` for an error of Temporal inside."""
    try:
        yield
    except (RPCError, RuntimeError) as error:
        raise unavailable(error) from error
