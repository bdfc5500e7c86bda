"""`cart ops pending`, `stuck`, `retry`, `pause`, `resume` and `skip`."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.ops.exits import Exit
from cli.ops.options import AsJson, By, Confirm, DryRun, Reason, Watch, operator

if TYPE_CHECKING:
    from cli.ops.desk import Desk

RECORDS_MAX = 200

Relays = Annotated[
    list[str] | None, typer.Argument(metavar="[RELAY]...", help="events/N or releases/N.")
]
Every = Annotated[
    bool, typer.Option("--all", help="All relays that run or have something pending.")
]
WhyNot = Annotated[str, typer.Option(help="Why; it is kept.")]


def register(group: typer.Typer) -> None:
    """Adds the commands of this module."""
    for command in (pending, stuck, retry, pause, resume, skip):
        group.command(command.__name__)(command)


def pending(
    *,
    store: Annotated[str | None, typer.Option(help="One by one, of this store.")] = None,
    user: Annotated[str | None, typer.Option(help="One by one, of this user.")] = None,
    as_json: AsJson = False,
    watch: Watch = False,
) -> None:
    """Show what is still to be published and given back: by relay, or of a store or a user."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from cli.console import output, print_json  # noqa: PLC0415
    from cli.ops.desk import at_desk  # noqa: PLC0415
    from cli.ops.relays import pending_effects, relay_states  # noqa: PLC0415
    from cli.ops.tables import effect_table, relay_table  # noqa: PLC0415

    async def work(desk: "Desk") -> Exit:
        now, console = datetime.now(UTC), output()
        if watch and not as_json:
            console.clear()
        if store or user:
            records = await desk.outbox.pending_of(store_id=store, user_id=user, limit=RECORDS_MAX)
            effects = pending_effects(desk, records)
            if as_json:
                print_json({"effects": [effect.as_dict() for effect in effects]})
            else:
                console.print(effect_table(effects, now))
                console.print(f"pending effects: {len(effects)}")
            return Exit.OK
        relays = await relay_states(desk)
        if as_json:
            print_json({"relays": [relay.as_dict() for relay in relays]})
        else:
            console.print(relay_table(relays, now))
            console.print(f"pending effects: {sum(relay.effects for relay in relays)}")
        return Exit.OK

    at_desk(work, watch=watch)


def stuck(*, as_json: AsJson = False, watch: Watch = False) -> None:
    """Name what does not go on by itself, and what to do; exits 1 when there is something."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from cli.console import output, print_json  # noqa: PLC0415
    from cli.ops.desk import at_desk  # noqa: PLC0415
    from cli.ops.stuck import problems  # noqa: PLC0415
    from cli.ops.tables import problem_table  # noqa: PLC0415

    async def work(desk: "Desk") -> Exit:
        found = await problems(desk)
        console = output()
        if as_json:
            print_json({"ok": not found, "problems": [problem.as_dict() for problem in found]})
            return Exit.PROBLEM if found else Exit.OK
        if watch:
            console.clear()
        if found:
            console.print(problem_table(found, datetime.now(UTC)))
        console.print(f"{len(found)} stuck" if found else "Nothing is stuck")
        return Exit.PROBLEM if found else Exit.OK

    at_desk(work, watch=watch)


def retry(
    relays: Relays = None,
    *,
    every: Every = False,
    reason: WhyNot = "",
    by: By = None,
    dry_run: DryRun = False,
    confirm: Confirm = None,
    as_json: AsJson = False,
) -> None:
    """Let relays try again at once; one that does not run is started."""
    from workflows import ids  # noqa: PLC0415

    _steer(
        ids.RETRY_NOW,
        relays,
        every=every,
        reason=reason,
        by=by,
        dry_run=dry_run,
        confirm=confirm,
        as_json=as_json,
    )


def pause(
    relays: Relays = None,
    *,
    reason: Reason,
    every: Every = False,
    by: By = None,
    dry_run: DryRun = False,
    confirm: Confirm = None,
    as_json: AsJson = False,
) -> None:
    """Let relays do nothing until they are resumed; what comes meanwhile stays pending."""
    from workflows import ids  # noqa: PLC0415

    _steer(
        ids.PAUSE,
        relays,
        every=every,
        reason=reason,
        by=by,
        dry_run=dry_run,
        confirm=confirm,
        as_json=as_json,
    )


def resume(
    relays: Relays = None,
    *,
    every: Every = False,
    reason: WhyNot = "",
    by: By = None,
    dry_run: DryRun = False,
    confirm: Confirm = None,
    as_json: AsJson = False,
) -> None:
    """Let paused relays go on."""
    from workflows import ids  # noqa: PLC0415

    _steer(
        ids.RESUME,
        relays,
        every=every,
        reason=reason,
        by=by,
        dry_run=dry_run,
        confirm=confirm,
        as_json=as_json,
    )


def skip(
    effect: Annotated[str, typer.Argument(metavar="EFFECT", help="Its id, from `pending`.")],
    *,
    reason: Reason,
    by: By = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give one pending effect up for ever: its event is not published, or its hold not released.

    Waits until the relay has noted it.
    """
    from cli.ops.desk import at_desk  # noqa: PLC0415

    who = operator(by)

    async def work(desk: "Desk") -> Exit:
        from cli.ops.skipping import skip_effect  # noqa: PLC0415

        return await skip_effect(desk, effect, reason, who, dry_run=dry_run, as_json=as_json)

    at_desk(work)


def _steer(
    signal: str,
    names: list[str] | None,
    *,
    every: bool,
    reason: str,
    by: str | None,
    dry_run: bool,
    confirm: int | None,
    as_json: bool,
) -> None:
    from cli.console import print_json  # noqa: PLC0415
    from cli.ops.desk import at_desk  # noqa: PLC0415
    from cli.ops.many import agreed  # noqa: PLC0415
    from cli.ops.relays import choose_relays  # noqa: PLC0415

    who = operator(by)

    async def work(desk: "Desk") -> Exit:
        chosen = await choose_relays(desk, names or [], every=every)
        told = [f"{kind}/{shard}" for kind, shard in chosen]
        if not dry_run:
            if every and not agreed(signal, len(chosen), "relays", confirm):
                return Exit.NOT_CONFIRMED
            for kind, shard in chosen:
                await desk.gateway.signal_relay(
                    kind, shard, signal, reason, who, shards=desk.settings.relay_shards
                )
        if as_json:
            print_json(
                {"action": signal, "by": who, "reason": reason, "relays": told, "done": not dry_run}
            )
        else:
            print(f"{'would be ' if dry_run else ''}told to {signal}: {', '.join(told) or 'none'}")
        return Exit.OK

    at_desk(work)
