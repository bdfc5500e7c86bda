"""What needs somebody: sagas and relays that wait, effects nobody does, failures, held stores."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.ops.desk import Desk
from cli.ops.relays import RelayState, relay_states
from cli.ops.sagas import End, SagaFilter, find_sagas

LONG = timedelta(seconds=60)
LATELY = timedelta(days=1)
SAGAS_MAX = 100


@dataclass(frozen=True)
class Problem:
    """Something that does not go on by itself, or not soon."""

    kind: str
    name: str
    what: str
    advice: str
    since: datetime | None = None
    url: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "kind": self.kind,
            "name": self.name,
            "what": self.what,
            "advice": self.advice,
            "since": self.since,
            "url": self.url,
        }


async def problems(desk: Desk) -> list[Problem]:
    """All of them; nothing when all is well."""
    now = datetime.now(UTC)
    return [
        *await _sagas(desk, now),
        *(problem for state in await relay_states(desk) if (problem := _relay(state, now))),
        *await _holds(desk),
    ]


async def _sagas(desk: Desk, now: datetime) -> list[Problem]:
    long = timedelta(seconds=desk.settings.lock_ttl) + LONG
    found = {
        saga.run_id: saga
        for query in (
            SagaFilter(outcome=End.RUNNING, attention=True).query(now),
            SagaFilter(outcome=End.RUNNING, older_than=long).query(now),
            SagaFilter(outcome=End.FAILED, newer_than=LATELY).query(now),
        )
        for saga in await find_sagas(desk, query, limit=SAGAS_MAX)
    }
    told = []
    for saga in found.values():
        cart = f"{saga.store_id}/{saga.user_id}"
        if saga.attention:
            what = f"{saga.operation} on {cart} waits for MongoDB to settle it"
            advice = f"`cart doctor`; `cart ops show {cart}`"
        elif saga.running:
            what = f"{saga.operation} on {cart} has not ended"
            advice = f"`cart doctor`; `cart ops show {cart}`; `cart ops abort {cart} --reason …`"
        else:
            what = f"{saga.operation} on {cart} failed"
            advice = f"`cart ops show {saga.run_id}`"
        told.append(Problem("saga", saga.run_id, what, advice, saga.started_at, saga.url))
    return told


def _relay(relay: RelayState, now: datetime) -> Problem | None:
    if relay.running and relay.attention:
        what = f"relay {relay.name} does not get on, {relay.effects} pending: {relay.says}"
        advice = (
            f"`cart ops resume {relay.name}`"
            if "paused by" in relay.says
            else f"`cart doctor`; then `cart ops retry {relay.name}`; a refused effect: "
            "`cart ops skip EFFECT --reason …`"
        )
    elif not relay.running and relay.oldest is not None and relay.oldest < now - LONG:
        what = f"{relay.effects} {relay.name} effects are pending, and no relay runs"
        advice = f"`cart doctor` (is there a worker?); `cart ops retry {relay.name}` starts it"
    else:
        return None
    return Problem("relay", relay.name, what, advice, relay.oldest, relay.url)


async def _holds(desk: Desk) -> list[Problem]:
    return [
        Problem(
            "intake",
            hold.store_id,
            f"store {hold.store_id} takes no changes: {hold.by}, {hold.reason}",
            f"`cart ops release-intake --store {hold.store_id}`",
            hold.at,
        )
        for hold in await desk.intake.active()
    ]
