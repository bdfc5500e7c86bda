"""What needs an operator: waiting or failed sagas, blocked effects and relays, paused stores."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cli.console import unavailable
from cli.ops.connections import Connections
from cli.ops.filters import RunState, SagaQuery
from cli.ops.relays import RelayState, overview
from cli.ops.sagas import SagaSummary, find_sagas
from cli.texts import brief
from models.errors import DependencyUnavailable

LONG = timedelta(seconds=60)
LATELY = timedelta(days=1)
SAGAS_MAX = 100


@dataclass(frozen=True)
class StuckItem:
    """Something that does not continue by itself, or not soon, and what to do about it."""

    kind: str
    name: str
    what: str
    advice: str
    since: datetime | None = None
    url: str | None = None


async def stuck_items(connections: Connections) -> list[StuckItem]:
    """All of them; empty when everything works. A MongoDB that does not answer is one too."""
    now = datetime.now(UTC)
    found = await _sagas(connections, now)
    relays, away = await overview(connections)
    found += [item for relay in relays if (item := _relay(relay, now))]
    try:
        holds = [] if away else await connections.intake.active()
    except DependencyUnavailable as error:
        away, holds = error, []
    found += [
        StuckItem(
            "intake",
            hold.store_id,
            f"changes of store {hold.store_id} are paused by {hold.by}: {hold.reason}",
            f"`cart ops release-intake --store {hold.store_id}`",
            hold.at,
        )
        for hold in holds
    ]
    if away is not None:
        what = f"{unavailable(away)}; pending effects and paused stores are unknown"
        found.insert(0, StuckItem("dependency", away.dependency, what, "`cart doctor`"))
    return found


async def _sagas(connections: Connections, now: datetime) -> list[StuckItem]:
    late = timedelta(seconds=connections.settings.lock_ttl) + LONG
    found = {
        saga.run_id: saga
        for where in (
            SagaQuery(outcome=RunState.RUNNING, attention=True),
            SagaQuery(outcome=RunState.RUNNING, older_than=late),
            SagaQuery(outcome=RunState.FAILED, newer_than=LATELY),
            SagaQuery(outcome=RunState.TERMINATED, newer_than=LATELY),
        )
        for saga in await find_sagas(connections, where.query(now), limit=SAGAS_MAX)
    }
    return [_saga(saga) for saga in found.values()]


def _saga(saga: SagaSummary) -> StuckItem:
    advice = f"`cart doctor`; `cart ops show {saga.cart}`"
    if saga.attention and saga.running:
        what = "waits for MongoDB to settle it"
    elif saga.running:
        what = "has not ended"
        advice += f"; `cart ops abort {saga.cart} --reason WHY`"
    else:
        what = "failed" if saga.state is RunState.FAILED else "was terminated"
        advice = f"`cart ops show {saga.run_id}`"
    what = f"{saga.operation} on {saga.cart} {what}"
    return StuckItem("saga", saga.run_id, what, advice, saga.started_at, saga.url)


def _relay(relay: RelayState, now: datetime) -> StuckItem | None:
    if relay.running and relay.attention:
        pending = "an unknown number" if relay.effects is None else relay.effects
        what = f"relay {relay.relay} is not progressing, {pending} pending: {brief(relay.says)}"
        advice = (
            f"`cart ops resume {relay.relay}`"
            if "paused by" in relay.says
            else f"`cart doctor`; then `cart ops retry {relay.relay}`; a refused effect: "
            "`cart ops skip EFFECT --reason WHY`"
        )
    elif not relay.running and relay.oldest is not None and relay.oldest < now - LONG:
        what = f"{relay.effects} {relay.relay} effects are pending, and no relay runs"
        advice = f"`cart doctor` (is a worker running?); `cart ops retry {relay.relay}` starts it"
    else:
        return None
    return StuckItem("relay", str(relay.relay), what, advice, relay.oldest, relay.url)
