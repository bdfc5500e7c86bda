"""Relays and pending effects, as Temporal and MongoDB know them together."""

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from pydantic.alias_generators import to_camel
from temporalio.api.sdk.v1 import WorkflowMetadata

from models.documents import OperationRecord, bucket_of
from models.effects import EffectKind, EventEffect
from models.relays import RelayStatus
from ops.connections import Connections
from ops.errors import NotFoundError, UnusableError
from workflows import ids
from workflows.connection import RPC_TIMEOUT
from workflows.running_relays import relay_status, running_relays

_METADATA = "__temporal_workflow_metadata"
RECORDS_MAX = 200
"""Most records whose pending effects are listed."""
NOTED_SECONDS = 30.0
POLL_SECONDS = 0.2


class RelayId(NamedTuple):
    """A relay as commands take it: `event/3`."""

    kind: EffectKind
    shard: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.shard}"


@dataclass(frozen=True)
class RelayState:
    """A relay and its pending effects; None is unknown, because a server could not be asked.

    `says` is what it does, in words. `paused_since` and `paused_by` (who and why) are set while it
    is paused.
    """

    relay: RelayId
    effects: int | None
    oldest: datetime | None
    running: bool | None
    attention: bool
    says: str
    paused_since: datetime | None
    paused_by: str
    url: str

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        shown = vars(self) | {"relay": str(self.relay)}
        return {to_camel(name): value for name, value in shown.items()}


@dataclass(frozen=True)
class PendingEffect:
    """One effect that is still to be done."""

    effect_id: str
    kind: str
    what: str
    store_id: str
    user_id: str
    operation_id: str
    run_id: str
    relay: RelayId
    since: datetime

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        shown = vars(self) | {"relay": str(self.relay)}
        return {to_camel(name): value for name, value in shown.items()}


async def overview(connections: Connections) -> list[RelayState]:
    """All relays that run or have something pending, those that have waited longest first."""
    shards = connections.settings.relay_shards
    pending = await connections.ask(
        "mongodb", partial(connections.outbox.waiting_shards, shards), None
    )
    running = await connections.ask("temporal", partial(_running, connections), None)
    waiting = {RelayId(one.kind, one.shard): one for one in pending or ()}
    relays = []
    for relay in waiting | (running or {}):
        found = waiting.get(relay)
        workflow_id = ids.relay_workflow_id(*relay)
        runs = None if running is None else relay in running
        status = await _status(connections, workflow_id) if runs else RelayStatus()
        relays.append(
            RelayState(
                relay=relay,
                effects=found.records if found else None if pending is None else 0,
                oldest=found.oldest if found else None,
                running=runs,
                attention=(running or {}).get(relay, False),
                says=_plain(status.says),
                paused_since=status.paused_since,
                paused_by=status.paused_by,
                url=connections.pages.workflow(workflow_id),
            )
        )
    return relays


async def _running(connections: Connections) -> dict[RelayId, bool]:
    """The relays that run, and whether they need attention."""
    runs = await running_relays(connections.temporal)
    return {
        relay: needs_attention
        for workflow_id, needs_attention in runs.items()
        if (relay := parse_relay(workflow_id))
    }


async def _status(connections: Connections, workflow_id: str) -> RelayStatus:
    """What a relay says; nothing when no worker answers."""
    try:
        return await relay_status(connections.temporal, workflow_id)
    except Exception:  # whatever the worker's failure is, there is nothing to show
        return RelayStatus()


async def details(connections: Connections, workflow_id: str, run_id: str | None = None) -> str:
    """The current details of a workflow; empty when no worker answers."""
    handle = connections.temporal.get_workflow_handle(workflow_id, run_id=run_id)
    try:
        metadata: WorkflowMetadata = await handle.query(
            _METADATA, result_type=WorkflowMetadata, rpc_timeout=RPC_TIMEOUT
        )
    except Exception:  # whatever the worker's failure is, there are no details to show
        return ""
    return _plain(metadata.current_details)


def _plain(details: str) -> str:
    return details.replace("**", "").replace("`", "")


def parse_relay(text: str) -> RelayId | None:
    """`event/3` or `relay/event/3`."""
    matched = re.fullmatch(rf"(?:relay/)?({'|'.join(EffectKind)})/(\d{{1,6}})", text)
    return RelayId(EffectKind(matched[1]), int(matched[2])) if matched else None


async def choose_relays(
    connections: Connections, names: list[str], *, every: bool
) -> list[RelayId]:
    """The named relays, or with `every` all that run or have something pending.

    Raises `OpsError` for a name that is no relay, and when not every relay is known.
    """
    if every == bool(names):
        raise UnusableError(
            "name relays (event/3), or give --all for those that run or have something pending"
        )
    if every:
        states = await overview(connections)
        connections.need_all()
        return [state.relay for state in states]
    chosen = []
    shards = connections.settings.relay_shards
    for name in names:
        relay = parse_relay(name)
        if relay is None or relay.shard >= shards:
            raise UnusableError(
                f"{name!r} is no relay: event/N or release/N, "
                f"N from 0 to {shards - 1} (RELAY_SHARDS - 1)"
            )
        chosen.append(relay)
    return chosen


def pending_effects(
    connections: Connections, records: list[OperationRecord]
) -> list[PendingEffect]:
    """The pending effects in these records."""
    shards = connections.settings.relay_shards
    return [
        PendingEffect(
            effect_id=effect.id,
            kind=effect.kind,
            what=effect.topic
            if isinstance(effect, EventEffect)
            else f"{effect.quantity} x {effect.product_id}",
            store_id=record.store_id,
            user_id=record.user_id,
            operation_id=record.operation_id,
            run_id=record.run_id,
            relay=RelayId(EffectKind(effect.kind), bucket_of(record.key) % shards),
            since=record.at,
        )
        for record in records
        for effect in record.effects
        if effect.done_at is None
    ]


async def find_effect(connections: Connections, effect_id: str) -> PendingEffect:
    """The pending effect with this id; raises `NotFoundError` when there is none."""
    record = await connections.need("mongodb", partial(connections.outbox.holder, effect_id))
    for effect in pending_effects(connections, [record] if record else []):
        if effect.effect_id == effect_id:
            return effect
    raise NotFoundError(f"no effect {effect_id!r} is pending")


async def skip_effect(
    connections: Connections, effect: PendingEffect, *, reason: str, by: str
) -> bool:
    """Signals the relay to skip the effect; returns whether its record notes that in time."""
    shards = connections.settings.relay_shards
    words = (ids.SKIP, effect.effect_id, reason, by)
    signal = partial(connections.gateway.signal_relay, *effect.relay, *words, shards=shards)
    await connections.need("temporal", signal)
    try:
        async with asyncio.timeout(NOTED_SECONDS):
            while await connections.outbox.holder(effect.effect_id):  # noqa: ASYNC110 (polls)
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return False
    return True
