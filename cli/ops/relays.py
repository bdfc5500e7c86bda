"""Relays, as Temporal and MongoDB know them together."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.common import SearchAttributeKey

from adapters.mongo.outbox import Waiting
from cli.console import CliError, ExitCode
from cli.ops.connections import Connections
from models.effects import EffectKind
from models.errors import DependencyUnavailable
from workflows import ids
from workflows.connection import RPC_TIMEOUT

RelayId = tuple[EffectKind, int]
"""Kind and shard."""

_RUNNING = f"WorkflowType = '{ids.RELAY}' AND ExecutionStatus = 'Running'"
_METADATA = "__temporal_workflow_metadata"
RELAYS_MAX = 1000


@dataclass(frozen=True)
class RelayState:
    """A relay and its pending effects; `effects` is None while MongoDB does not answer.

    `says` are the current details of its workflow.
    """

    kind: EffectKind
    shard: int
    effects: int | None
    oldest: datetime | None
    running: bool
    attention: bool
    url: str
    says: str = ""

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.shard}"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "relay": self.name,
            "effects": self.effects,
            "oldest": self.oldest,
            "running": self.running,
            "attention": self.attention,
            "says": self.says,
            "url": self.url,
        }


@dataclass(frozen=True)
class RelayOverview:
    """All relays that run or have something pending, those that have waited longest first.

    With `away`, the error of MongoDB, only the running ones are known.
    """

    relays: list[RelayState]
    away: DependencyUnavailable | None = None


async def overview(connections: Connections) -> RelayOverview:
    """Asks MongoDB for what is pending, and Temporal for the relays that run."""
    away: DependencyUnavailable | None = None
    waiting: dict[RelayId, Waiting] = {}
    try:
        for one in await connections.outbox.waiting(connections.settings.relay_shards):
            waiting[one.kind, one.shard] = one
    except DependencyUnavailable as error:
        away = error
    attention = SearchAttributeKey.for_bool(ids.ATTENTION)
    running: dict[RelayId, bool] = {}  # whether it needs attention
    runs = connections.temporal.list_workflows(_RUNNING, limit=RELAYS_MAX, rpc_timeout=RPC_TIMEOUT)
    async for run in runs:
        relay = parse_relay(run.id)
        if relay is not None:
            running[relay] = bool(run.typed_search_attributes.get(attention))
    relays = []
    for relay in [*waiting, *(relay for relay in running if relay not in waiting)]:
        found = waiting.get(relay)
        workflow_id = ids.relay_workflow_id(*relay)
        relays.append(
            RelayState(
                kind=relay[0],
                shard=relay[1],
                effects=found.effects if found else None if away else 0,
                oldest=found.oldest if found else None,
                running=relay in running,
                attention=running.get(relay, False),
                url=connections.pages.workflow(workflow_id),
                says=await details(connections, workflow_id) if relay in running else "",
            )
        )
    return RelayOverview(relays, away)


async def details(connections: Connections, workflow_id: str, run_id: str | None = None) -> str:
    """The current details of a workflow; empty when no worker answers."""
    handle = connections.temporal.get_workflow_handle(workflow_id, run_id=run_id)
    try:
        metadata: WorkflowMetadata = await handle.query(
            _METADATA, result_type=WorkflowMetadata, rpc_timeout=RPC_TIMEOUT
        )
    except Exception:  # whatever the worker's failure is, there are no details to show
        return ""
    return metadata.current_details.replace("**", "").replace("`", "")


def parse_relay(text: str) -> RelayId | None:
    """`event/3` or `relay/event/3`."""
    matched = re.fullmatch(rf"(?:relay/)?({'|'.join(EffectKind)})/(\d{{1,6}})", text)
    return (EffectKind(matched[1]), int(matched[2])) if matched else None


async def choose_relays(
    connections: Connections, names: list[str], *, every: bool
) -> list[RelayId]:
    """The named relays, or with `every` all that run or have something pending.

    Raises `CliError` for a name that is no relay, and `DependencyUnavailable` when not every relay
    is known.
    """
    if every == bool(names):
        raise CliError(
            "name relays (event/3), or give --all for those that run or have something pending",
            exit_code=ExitCode.USAGE,
        )
    if every:
        known = await overview(connections)
        if known.away:
            raise known.away
        return [(state.kind, state.shard) for state in known.relays]
    chosen = []
    shards = connections.settings.relay_shards
    for name in names:
        relay = parse_relay(name)
        if relay is None or relay[1] >= shards:
            raise CliError(
                f"{name!r} is no relay: event/N or release/N, "
                f"N from 0 to {shards - 1} (RELAY_SHARDS - 1)",
                exit_code=ExitCode.USAGE,
            )
        chosen.append(relay)
    return chosen
