"""Finding the saga that an operator names."""

import re
from datetime import UTC, datetime, timedelta

from temporalio.service import RPCError, RPCStatusCode

from cli.console import CliError
from cli.ops.connections import Connections
from cli.ops.exit_codes import ExitCode
from cli.ops.filters import quoted
from cli.ops.sagas import SagaSummary, find_sagas, summary_of
from models.wire import timestamp
from workflows import ids
from workflows.connection import RPC_TIMEOUT

_OPERATION_ID = re.compile(r"[0-9a-f]{32}")
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SAGA_ID = re.compile(r"cart-(\d{13})-(.+)")
_SAGA_ID_SLACK = timedelta(milliseconds=2)


async def find_saga(connections: Connections, name: str) -> SagaSummary:
    """The saga with this name; raises `CliError` when there is none.

    `STORE/USER` and `cart/STORE/USER` name the latest run of a cart. The id of a run, an operation
    or a saga names its run.
    """
    if workflow_id := cart_of(name):
        saga = await _latest(connections, workflow_id)
    elif _RUN_ID.fullmatch(name):
        saga = await _first(connections, f"RunId = {quoted(name)}")
    elif _OPERATION_ID.fullmatch(name):
        saga = await _first(connections, f"{ids.OPERATION_ID} = {quoted(name)}")
    elif matched := _SAGA_ID.fullmatch(name):
        saga = await _by_saga_id(connections, int(matched[1]), matched[2])
    else:
        raise CliError(
            f"{name!r} names no saga: give STORE/USER, or the id of a run, operation or saga",
            exit_code=ExitCode.USAGE,
        )
    if saga is None:
        raise CliError(
            f"Temporal has no saga {name!r}; it keeps closed ones only for its retention time",
            exit_code=ExitCode.NOT_FOUND,
        )
    return saga


def cart_of(name: str) -> str | None:
    """The workflow id of the cart with this name; None for another kind of name."""
    store, _, user = name.removeprefix("cart/").partition("/")
    return ids.cart_workflow_id(store, user) if store and user and "/" not in user else None


async def _latest(connections: Connections, workflow_id: str) -> SagaSummary | None:
    """By describing the workflow: visibility lags behind."""
    try:
        handle = connections.temporal.get_workflow_handle(workflow_id)
        return summary_of(connections, await handle.describe(rpc_timeout=RPC_TIMEOUT))
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


async def _first(connections: Connections, query: str) -> SagaSummary | None:
    found = await find_sagas(connections, query, limit=1)
    return found[0] if found else None


async def _by_saga_id(connections: Connections, epoch_ms: int, rest: str) -> SagaSummary | None:
    """A saga id contains the start of its run, and a user starts at most one run at a time."""
    at = datetime.fromtimestamp(epoch_ms / 1000, UTC)
    begin, end = timestamp(at - _SAGA_ID_SLACK), timestamp(at + _SAGA_ID_SLACK)
    query = f"StartTime BETWEEN '{begin}' AND '{end}' AND {ids.OPERATION} IS NOT NULL"
    for saga in await find_sagas(connections, query, limit=100):
        if rest == f"{saga.user_id}-{saga.product_id or saga.operation}":
            return saga
    return None
