"""What operators do: abort a saga, signal relays, and acknowledge sagas that were stopped.

`ops.relays.skip_effect` gives up one effect.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from models.acknowledgement import Acknowledgement
from ops.connections import Connections
from ops.endings import explain
from ops.errors import NotStoppedError
from ops.filters import STOPPED
from ops.relays import RelayId
from ops.sagas import SagaEnd, SagaSummary, wait_for_end


async def abort(
    connections: Connections, saga: SagaSummary, *, reason: str, by: str, seconds: float
) -> SagaEnd:
    """Asks for the undo of a saga, and waits for its end."""
    with suppress(KeyError):  # it has ended meanwhile, which the wait reports
        asking = partial(connections.gateway.abort, saga.workflow_id, saga.run_id)
        await connections.need("temporal", partial(asking, reason=reason, by=by))
    return await wait_for_end(connections, saga, seconds=seconds)


async def signal_relays(
    connections: Connections, relays: Sequence[RelayId], signal: str, *, reason: str, by: str
) -> None:
    """Sends a signal to each relay; `retry_now` starts one that does not run."""
    shards = connections.settings.relay_shards
    for relay in relays:
        words = (*relay, signal, reason, by)
        sent = partial(connections.gateway.signal_relay, *words, shards=shards)
        await connections.need("temporal", sent)


async def acknowledgeable(
    connections: Connections, sagas: Sequence[SagaSummary]
) -> list[SagaSummary]:
    """The sagas, explained; raises `NotStoppedError` for one that was not stopped."""
    explained = await explain(connections, sagas)
    for saga in explained:
        if saga.state not in STOPPED:
            raise NotStoppedError(
                f"{saga.operation} on {saga.cart} is {saga.outcome}: only a saga that failed, "
                "timed out or was terminated can be acknowledged"
            )
    return explained


async def acknowledge(
    connections: Connections, sagas: Sequence[SagaSummary], *, reason: str, by: str, at: datetime
) -> None:
    """Takes sagas off those that need attention."""
    for saga in sagas:
        acknowledgement = Acknowledgement(
            _id=saga.run_id,
            store_id=saga.store_id,
            user_id=saga.user_id,
            by=by,
            reason=reason,
            at=at,
        )
        await connections.need(
            "mongodb", partial(connections.acknowledgements.add, acknowledgement)
        )
