"""Relays and pending effects, as Temporal and MongoDB know them together."""

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from pydantic.alias_generators import to_camel
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.common import SearchAttributeKey

from cli.console import CliError, ExitCode
from cli.ops.connections import Connections
from models.documents import OperationRecord, bucket_of
from models.effects import EffectKind, EventEffect
from models.errors import DependencyUnavailable
from workflows import ids
from workflows.connection import RPC_TIMEOUT

_RUNNING = f"WorkflowType = '{ids.RELAY}' AND ExecutionStatus = 'Running'"
_METADATA = "__temporal_workflow_metadata"
RELAYS_MAX = 1000
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
    """A relay and its pending effects; `effects` is None while MongoDB does not answer.

    `says` are the current details of its workflow.
    """

    relay: RelayId
    effects: int | None
    oldest: datetime | None
    running: bool
    attention: bool
    says: str
    url: str

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return vars(self) | {"relay": str(self.relay)}


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


async def overview(
    connections: Connections,
) -> tuple[list[RelayState], DependencyUnavailable | None]:
    """All relays that run or have something pending, those that have waited longest first.

    With the error of MongoDB, when it does not answer; then only the running ones are known.
    """
    away: DependencyUnavailable | None = None
    try:
        pending = await connections.outbox.waiting_shards(connections.settings.relay_shards)
    except DependencyUnavailable as error:
        away, pending = error, []
    waiting = {RelayId(one.kind, one.shard): one for one in pending}
    attention = SearchAttributeKey.for_bool(ids.ATTENTION)
    running: dict[RelayId, bool] = {}  # whether it needs attention
    runs = connections.temporal.list_workflows(_RUNNING, limit=RELAYS_MAX, rpc_timeout=RPC_TIMEOUT)
    async for run in runs:
        if relay := parse_relay(run.id):
            running[relay] = bool(run.typed_search_attributes.get(attention))
    relays = []
    for relay in waiting | running:
        found = waiting.get(relay)
        workflow_id = ids.relay_workflow_id(*relay)
        relays.append(
            RelayState(
                relay=relay,
                effects=found.records if found else None if away else 0,
                oldest=found.oldest if found else None,
                running=relay in running,
                attention=running.get(relay, False),
                says=await details(connections, workflow_id) if relay in running else "",
                url=connections.pages.workflow(workflow_id),
            )
        )
    return relays, away


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
    return RelayId(EffectKind(matched[1]), int(matched[2])) if matched else None


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
        states, away = await overview(connections)
        if away:
            raise away
        return [state.relay for state in states]
    chosen = []
    shards = connections.settings.relay_shards
    for name in names:
        relay = parse_relay(name)
        if relay is None or relay.shard >= shards:
            raise CliError(
                f"{name!r} is no relay: event/N or release/N, "
                f"N from 0 to {shards - 1} (RELAY_SHARDS - 1)",
                exit_code=ExitCode.USAGE,
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
    """The pending effect with this id; raises `CliError` when there is none."""
    record = await connections.outbox.holder(effect_id)
    for effect in pending_effects(connections, [record] if record else []):
        if effect.effect_id == effect_id:
            return effect
    raise CliError(f"no effect {effect_id!r} is pending", exit_code=ExitCode.NOT_FOUND)


async def skip_effect(
    connections: Connections, effect: PendingEffect, *, reason: str, by: str
) -> bool:
    """Signals the relay to skip the effect; returns whether its record notes that in time."""
    shards = connections.settings.relay_shards
    words = (ids.SKIP, effect.effect_id, reason, by)
    await connections.gateway.signal_relay(*effect.relay, *words, shards=shards)
    try:
        async with asyncio.timeout(NOTED_SECONDS):
            while await connections.outbox.holder(effect.effect_id):  # noqa: ASYNC110 (polls)
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return False
    return True
