"""Relays and what is pending, as operators see them."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.common import SearchAttributeKey

from adapters.mongo.outbox import Waiting
from cli.console import CliError
from cli.ops.desk import Desk
from cli.ops.exits import Exit
from models.operation import Operation, shard_key
from models.relays import RelayKind
from workflows import ids
from workflows.gateway import RPC_TIMEOUT

Relay = tuple[RelayKind, int]
"""Kind and shard."""

_RUNNING = f"WorkflowType = '{ids.RELAY}' AND ExecutionStatus = 'Running'"
_METADATA = "__temporal_workflow_metadata"
RELAYS_MAX = 1000


@dataclass(frozen=True)
class RelayState:
    """A relay, and what is pending for it. `says` is what it shows as its current details."""

    kind: RelayKind
    shard: int
    effects: int
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
class PendingEffect:
    """One effect that is still to be done."""

    id: str
    kind: str
    what: str
    store_id: str
    user_id: str
    operation_id: str
    run_id: str
    relay: Relay
    since: datetime

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "effectId": self.id,
            "kind": self.kind,
            "what": self.what,
            "storeId": self.store_id,
            "userId": self.user_id,
            "operationId": self.operation_id,
            "runId": self.run_id,
            "relay": f"{self.relay[0]}/{self.relay[1]}",
            "since": self.since,
        }


@dataclass
class _Known:
    waiting: dict[Relay, Waiting] = field(default_factory=dict)
    running: dict[Relay, bool] = field(default_factory=dict)  # -> needs attention


async def relay_states(desk: Desk) -> list[RelayState]:
    """All relays that run or should, the longest waiting first."""
    known = _Known()
    for waiting in await desk.outbox.waiting(desk.settings.relay_shards):
        known.waiting[waiting.kind, waiting.shard] = waiting
    attention = SearchAttributeKey.for_bool(ids.ATTENTION)
    runs = desk.temporal.list_workflows(_RUNNING, limit=RELAYS_MAX, rpc_timeout=RPC_TIMEOUT)
    async for run in runs:
        relay = parse_relay(run.id)
        if relay is not None:
            known.running[relay] = bool(run.typed_search_attributes.get(attention))
    relays = [*known.waiting, *(relay for relay in known.running if relay not in known.waiting)]
    return [await _state(desk, relay, known) for relay in relays]


async def _state(desk: Desk, relay: Relay, known: _Known) -> RelayState:
    waiting = known.waiting.get(relay)
    workflow_id = ids.relay_workflow_id(*relay)
    return RelayState(
        kind=relay[0],
        shard=relay[1],
        effects=waiting.effects if waiting else 0,
        oldest=waiting.oldest if waiting else None,
        running=relay in known.running,
        attention=known.running.get(relay, False),
        url=desk.pages.workflow(workflow_id),
        says=await details(desk, workflow_id) if relay in known.running else "",
    )


async def details(desk: Desk, workflow_id: str, run_id: str | None = None) -> str:
    """What a workflow shows as its current details; empty when no worker answers."""
    handle = desk.temporal.get_workflow_handle(workflow_id, run_id=run_id)
    try:
        metadata: WorkflowMetadata = await handle.query(
            _METADATA, result_type=WorkflowMetadata, rpc_timeout=RPC_TIMEOUT
        )
    except Exception:  # whatever hinders the worker: there is nothing to show
        return ""
    return metadata.current_details.replace("**", "").replace("`", "")


def pending_effects(desk: Desk, records: list[Operation]) -> list[PendingEffect]:
    """The pending effects of records, one by one."""
    return [
        PendingEffect(
            id=effect.id,
            kind=effect.kind,
            what=effect.topic
            if effect.kind == "event"
            else f"{effect.quantity} x {effect.product_id}",
            store_id=record.store_id,
            user_id=record.user_id,
            operation_id=record.operation_id,
            run_id=record.id,
            relay=relay_of(
                desk,
                RelayKind.EVENTS if effect.kind == "event" else RelayKind.RELEASES,
                record.store_id,
                record.user_id,
            ),
            since=record.at,
        )
        for record in records
        for effect in record.effects
        if effect.done_at is None
    ]


def relay_of(desk: Desk, kind: RelayKind, store_id: str, user_id: str) -> Relay:
    """The relay of a cart."""
    return kind, shard_key(store_id, user_id) % desk.settings.relay_shards


def parse_relay(text: str) -> Relay | None:
    """`events/3` or `relay/events/3`."""
    matched = re.fullmatch(r"(?:relay/)?(events|releases)/(\d{1,6})", text)
    return (RelayKind(matched[1]), int(matched[2])) if matched else None


async def choose_relays(desk: Desk, names: list[str], *, every: bool) -> list[Relay]:
    """The relays that are named, or (`every`) all that run or have something pending."""
    if every == bool(names):
        raise CliError(
            "name relays (events/3), or give --all for those that run or have something pending",
            exit_code=Exit.USAGE,
        )
    if every:
        return [(state.kind, state.shard) for state in await relay_states(desk)]
    chosen = []
    for name in names:
        relay = parse_relay(name)
        if relay is None or relay[1] >= desk.settings.relay_shards:
            raise CliError(
                f"{name!r} is no relay: events/N or releases/N, "
                f"N from 0 to {desk.settings.relay_shards - 1} (RELAY_SHARDS - 1)",
                exit_code=Exit.USAGE,
            )
        chosen.append(relay)
    return chosen
