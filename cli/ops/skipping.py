"""Giving one effect up, and seeing that it is noted."""

import asyncio

from cli.console import CliError, print_json
from cli.ops.desk import Desk
from cli.ops.exits import Exit
from cli.ops.relays import pending_effects
from workflows import ids

NOTED_SECONDS = 30.0
ASK_SECONDS = 0.2


async def skip_effect(
    desk: Desk, effect_id: str, reason: str, by: str, *, dry_run: bool, as_json: bool
) -> Exit:
    """Tells the effect's relay, and waits until the record says so."""
    record = await desk.outbox.holder(effect_id)
    if record is None:
        raise CliError(f"no effect {effect_id!r} is pending", exit_code=Exit.NOT_FOUND)
    [effect] = [one for one in pending_effects(desk, [record]) if one.id == effect_id]
    kind, shard = effect.relay
    if not dry_run:
        await desk.gateway.signal_relay(
            kind, shard, ids.SKIP, effect_id, reason, by, shards=desk.settings.relay_shards
        )
        noted = await _noted(desk, effect_id)
    if as_json:
        print_json(
            {
                "action": ids.SKIP,
                "by": by,
                "reason": reason,
                **effect.as_dict(),
                "done": not dry_run and noted,
            }
        )
    else:
        print(
            f"{'would be skipped' if dry_run else 'skipped' if noted else 'not yet skipped'}: "
            f"{effect.kind} {effect.what} of {effect.store_id}/{effect.user_id} "
            f"(relay {kind}/{shard})"
        )
    return Exit.OK if dry_run or noted else Exit.NOT_YET


async def _noted(desk: Desk, effect_id: str) -> bool:
    try:
        async with asyncio.timeout(NOTED_SECONDS):
            while await desk.outbox.holder(effect_id) is not None:  # noqa: ASYNC110 (it is polled)
                await asyncio.sleep(ASK_SECONDS)
    except TimeoutError:
        return False
    return True
