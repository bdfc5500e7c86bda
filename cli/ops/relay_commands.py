"""`cart ops pending`, `stuck`, `retry`, `pause`, `resume` and `skip`."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import typer

from cli.audit import audited
from cli.console import ExitCode, show
from cli.ops.connections import connected
from cli.ops.views import effect_table, relay_table, stuck_table
from cli.options import AsJson, By, Confirm, DryRun, Watch, Why, confirmed, operator
from ops.connections import Connections
from ops.relays import (
    RECORDS_MAX,
    choose_relays,
    find_effect,
    overview,
    pending_effects,
    skip_effect,
)
from ops.signals import signal_relays
from ops.stuck import stuck_items
from workflows import ids

commands = typer.Typer()

Relays = Annotated[list[str] | None, typer.Argument(metavar="RELAY", help="event/N or release/N.")]
Every = Annotated[
    bool, typer.Option("--all", help="All relays that run or have something pending.")
]


@commands.command()
@connected
async def pending(
    connections: Connections,
    *,
    store: Annotated[str | None, typer.Option(help="Each effect of this store.")] = None,
    user: Annotated[str | None, typer.Option(help="Each effect of this user.")] = None,
    as_json: AsJson = False,
    watch: Watch = False,
) -> None:
    """Show pending effects: their number by relay, or each one of a store or a user."""
    now = datetime.now(UTC)
    if store or user:
        wanted = partial(
            connections.outbox.pending_of, store_id=store, user_id=user, limit=RECORDS_MAX
        )
        found = pending_effects(connections, await connections.need("mongodb", wanted))
        show(
            {"effects": [effect.as_dict() for effect in found]},
            *([effect_table(found, now)] if found else []),
            f"pending effects: {len(found)}",
            as_json=as_json,
            clear=watch,
        )
        return
    relays = await overview(connections)
    known = "mongodb" not in connections.unasked
    total = sum(relay.effects or 0 for relay in relays)
    show(
        {"relays": [relay.as_dict() for relay in relays], "unasked": connections.unasked},
        *([relay_table(relays, now)] if relays else []),
        f"pending effects: {total if known else 'unknown'}",
        as_json=as_json,
        clear=watch,
    )


@commands.command()
@connected
async def stuck(
    connections: Connections, *, as_json: AsJson = False, watch: Watch = False
) -> ExitCode:
    """List what needs attention and what to do about it; exits 1 when there is anything."""
    found = await stuck_items(connections)
    show(
        {
            "ok": not (found or connections.unasked),
            "problems": found,
            "unasked": connections.unasked,
        },
        *([stuck_table(found, datetime.now(UTC))] if found else []),
        f"{len(found)} stuck"
        if found
        else "Nothing is known to be stuck"
        if connections.unasked
        else "Nothing is stuck",
        as_json=as_json,
        clear=watch,
    )
    return ExitCode.PROBLEM if found else ExitCode.OK


def _steering(signal: str, *, why: Any = "") -> Callable[..., None]:
    """A command that signals relays; `why` is the default of its `--reason`."""

    @connected
    async def steer(
        connections: Connections,
        relays: Relays = None,
        *,
        reason: Why = why,
        every: Every = False,
        by: By = None,
        dry_run: DryRun = False,
        confirm: Confirm = None,
        as_json: AsJson = False,
    ) -> ExitCode:
        who = operator(by)
        chosen = await choose_relays(connections, relays or [], every=every)
        if not dry_run:
            if every and not confirmed(signal, len(chosen), "relays", confirm):
                return ExitCode.NOT_CONFIRMED
            await signal_relays(connections, chosen, signal, reason=reason, by=who)
        names = [str(relay) for relay in chosen]
        if not dry_run:
            command = f"ops_{signal.removesuffix('_now')}"
            await audited(
                connections.gateway, command, by=who, count=len(chosen), reason=reason, relays=names
            )
        show(
            {
                "action": signal,
                "by": who,
                "reason": reason,
                "relays": names,
                "done": not dry_run,
            },
            f"{'would send' if dry_run else 'sent'} {signal} to: {', '.join(names) or 'none'}",
            as_json=as_json,
        )
        return ExitCode.OK

    return steer


commands.command("retry", help="Make relays try again at once; starts one that is not running.")(
    _steering(ids.RETRY_NOW)
)
commands.command("pause", help="Stop relays until `resume`; new effects stay pending.")(
    _steering(ids.PAUSE, why=...)
)
commands.command("resume", help="Let paused relays continue.")(_steering(ids.RESUME))


@commands.command()
@connected
async def skip(
    connections: Connections,
    effect: Annotated[str, typer.Argument(metavar="EFFECT", help="Its id, from `pending`.")],
    *,
    reason: Why,
    by: By = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Give up one pending effect for ever: its event is not published, its units not released.

    Waits until the record of the operation has noted it.
    """
    who = operator(by)
    found = await find_effect(connections, effect)
    done = not dry_run and await skip_effect(connections, found, reason=reason, by=who)
    if not dry_run:
        await audited(
            connections.gateway,
            "ops_skip",
            by=who,
            count=int(done),
            reason=reason,
            effectId=found.effect_id,
        )
    state = "would be skipped" if dry_run else "skipped" if done else "not yet skipped"
    show(
        {"action": ids.SKIP, "by": who, "reason": reason, **found.as_dict(), "done": done},
        f"{state}: {found.kind} {found.what} of {found.store_id}/{found.user_id} "
        f"(relay {found.relay})",
        as_json=as_json,
    )
    return ExitCode.OK if dry_run or done else ExitCode.NOT_YET
