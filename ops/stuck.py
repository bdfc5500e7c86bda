"""What needs an operator: waiting or failed sagas, blocked effects and relays, paused stores."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from models.intake import IntakeHold
from ops.connections import Connections
from ops.endings import explain
from ops.filters import RunState, SagaQuery, SagaState
from ops.relays import RelayState, overview
from ops.sagas import SagaSummary, listed
from ops.times import stamp
from ops.words import brief

LONG = timedelta(seconds=60)
LATELY = timedelta(days=1)
SAGAS_MAX = 100
_ENDED: dict[SagaState, str] = {
    RunState.FAILED: "failed",
    RunState.TIMED_OUT: "timed out",
    RunState.TERMINATED: "was terminated",
}


@dataclass(frozen=True)
class StuckItem:
    """Something that does not continue by itself, or not soon, and what to do about it."""

    kind: str
    name: str
    what: str
    advice: str
    since: datetime | None = None
    url: str | None = None

    @property
    def run(self) -> str | None:
        """The run, of a saga."""
        return self.name if self.kind == "saga" else None


async def stuck_items(connections: Connections, store: str | None = None) -> list[StuckItem]:
    """All of them; empty when everything works, as far as the servers could be asked.

    Of one store only its sagas and its pause: relays serve all stores.
    """
    now = datetime.now(UTC)
    found = [_saga(saga) for saga in await stuck_sagas(connections, now, store)]
    if store is None:
        found += [item for relay in await overview(connections) if (item := _relay(relay, now))]
    holds: list[IntakeHold] = await connections.ask("mongodb", connections.intake.active, [])
    found += [
        StuckItem(
            "intake",
            hold.store_id,
            f"changes of store {hold.store_id} are paused by {hold.by}: {hold.reason}",
            f"`cart ops release-intake --store {hold.store_id}`",
            hold.at,
        )
        for hold in holds
        if store in {None, hold.store_id}
    ]
    return found


async def stuck_sagas(
    connections: Connections, now: datetime, store: str | None = None
) -> list[SagaSummary]:
    """Sagas that wait or are late, and those that were stopped lately and are not acknowledged."""
    late = timedelta(seconds=connections.settings.lock_ttl) + LONG
    found = {
        saga.run_id: saga
        for where in (
            SagaQuery(store=store, outcome=RunState.RUNNING, attention=True),
            SagaQuery(store=store, outcome=RunState.RUNNING, older_than=late),
            SagaQuery(store=store, attention=True, newer_than=LATELY),
        )
        for saga in await listed(connections, where.query(now), limit=SAGAS_MAX)
    }
    explained = await explain(connections, [*found.values()])
    return [saga for saga in explained if saga.acknowledged is None]


def _saga(saga: SagaSummary) -> StuckItem:
    advice = f"`cart doctor`; `cart ops show {saga.cart_word}`"
    why = ""
    if saga.attention and saga.running:
        what = "waits for MongoDB to settle it"
    elif saga.running:
        what = "has not ended"
        advice += f"; `cart ops abort {saga.cart_word} --reason WHY`"
    else:
        what = f"{_ENDED[saga.state]} (its change: {saga.stored})"
        why = f": {saga.reason}" if saga.reason else ""
        advice = "`cart ops show RUN`; once you have looked: `cart ops ack RUN --reason WHY`"
    what = f"{saga.operation} on {saga.cart} {what}{why}"
    return StuckItem("saga", saga.run_id, what, advice, saga.started_at, saga.url)


def _relay(relay: RelayState, now: datetime) -> StuckItem | None:
    pending = "an unknown number" if relay.effects is None else relay.effects
    since = relay.oldest
    if relay.paused_since is not None:
        since = relay.paused_since
        what = (
            f"relay {relay.relay} is paused since {stamp(since)} by {relay.paused_by}; "
            f"{pending} pending"
        )
        advice = f"`cart ops resume {relay.relay}`"
    elif relay.running and relay.attention:
        what = f"relay {relay.relay} is not progressing, {pending} pending: {brief(relay.says)}"
        advice = (
            f"`cart doctor`; then `cart ops retry {relay.relay}`; a refused effect: "
            "`cart ops skip EFFECT --reason WHY`"
        )
    elif not relay.running and relay.oldest is not None and relay.oldest < now - LONG:
        runs = "whether a relay runs is unknown" if relay.running is None else "no relay runs"
        what = f"{relay.effects} {relay.relay} effects are pending, and {runs}"
        advice = f"`cart doctor` (is a worker running?); `cart ops retry {relay.relay}` starts it"
    else:
        return None
    return StuckItem("relay", str(relay.relay), what, advice, since, relay.url)
