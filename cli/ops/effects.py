"""Pending effects of operations: listing them, and skipping one."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cli.console import CliError, ExitCode
from cli.ops.connections import Connections
from cli.ops.relays import RelayId
from models.documents import OperationRecord, shard_key
from models.effects import EffectKind, EventEffect
from workflows import ids

NOTED_SECONDS = 30.0
POLL_SECONDS = 0.2


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
    relay: RelayId
    since: datetime

    @property
    def relay_name(self) -> str:
        return f"{self.relay[0]}/{self.relay[1]}"

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
            "relay": self.relay_name,
            "since": self.since,
        }


def pending_effects(
    connections: Connections, records: list[OperationRecord]
) -> list[PendingEffect]:
    """The pending effects in these records."""
    found = []
    for record in records:
        shard = shard_key(record.key) % connections.settings.relay_shards
        for effect in record.effects:
            if effect.done_at is not None:
                continue
            if isinstance(effect, EventEffect):
                kind, what = EffectKind.EVENT, effect.topic
            else:
                kind, what = EffectKind.RELEASE, f"{effect.quantity} x {effect.product_id}"
            found.append(
                PendingEffect(
                    id=effect.id,
                    kind=effect.kind,
                    what=what,
                    store_id=record.store_id,
                    user_id=record.user_id,
                    operation_id=record.operation_id,
                    run_id=record.run_id,
                    relay=(kind, shard),
                    since=record.at,
                )
            )
    return found


async def find_effect(connections: Connections, effect_id: str) -> PendingEffect:
    """The pending effect with this id; raises `CliError` when there is none."""
    record = await connections.outbox.holder(effect_id)
    for effect in pending_effects(connections, [record] if record else []):
        if effect.id == effect_id:
            return effect
    raise CliError(f"no effect {effect_id!r} is pending", exit_code=ExitCode.NOT_FOUND)


async def skip_effect(
    connections: Connections, effect: PendingEffect, *, reason: str, by: str
) -> bool:
    """Signals the relay to skip the effect; returns whether its record notes that in time."""
    kind, shard = effect.relay
    await connections.gateway.signal_relay(
        kind, shard, ids.SKIP, effect.id, reason, by, shards=connections.settings.relay_shards
    )
    try:
        async with asyncio.timeout(NOTED_SECONDS):
            while await connections.outbox.holder(effect.id):  # noqa: ASYNC110 (MongoDB is polled)
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        return False
    return True
