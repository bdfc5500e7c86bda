"""`cart replay-events`: which events are published again, in which order, and where to continue."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.mongo.carts import CartStore
from cli import replay_events
from models.documents import OperationRecord
from models.effects import AnyEffect, EventEffect, ReleaseEffect
from models.errors import DependencyUnavailable, EffectRefused
from tests.fakes.api import record_of
from tests.unit.cli_standin import CommandResult, clear_environment, run

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)
RELEASE = ReleaseEffect(id="r-1", product_id="lamp", quantity=1, saga_id="saga", reason="removed")


def event(id_: str, *, skipped_because: str | None = None) -> EventEffect:
    return EventEffect(
        id=id_,
        topic="cart.item.added",
        key="cart-1",
        value="{}",
        time=NOW,
        done_at=NOW,
        skipped_because=skipped_because,
    )


def record(user: str, minute: int, *effects: AnyEffect) -> OperationRecord:
    at = NOW + timedelta(minutes=minute)
    return record_of(user_id=user, at=at, effects=list(effects))


class FakeServers:
    """Records in pages of two, and what Kafka has got; it refuses the events in `fails`."""

    def __init__(self) -> None:
        self.records = [
            record("ada", 0, event("a-1")),
            record("bob", 1, event("b-1"), RELEASE, event("b-2")),
            record("ada", 2, event("a-2"), event("a-3", skipped_because="sent by hand")),
            record("bob", 3, RELEASE),
        ]
        self.asked: tuple[datetime, str | None] | None = None
        self.published: list[str] = []
        self.fails: dict[str, Exception] = {}
        self.audited: list[dict[str, Any]] = []
        self.closed = 0

    async def done_since(
        self, since: datetime, *, store_id: str | None, size: int
    ) -> AsyncIterator[list[OperationRecord]]:
        assert size
        self.asked = since, store_id
        for first in range(0, len(self.records), 2):
            yield self.records[first : first + 2]

    async def publish(self, events: Sequence[EventEffect]) -> None:
        for one in events:
            if one.id in self.fails:
                raise self.fails[one.id]
            self.published.append(one.id)

    async def close(self) -> None:
        self.closed += 1

    def audit(self, _: Any, command: str, **line: Any) -> None:
        self.audited.append({"command": command, **line})


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> FakeServers:
    clear_environment(monkeypatch)
    servers = FakeServers()

    async def connect(*_: Any, **__: Any) -> FakeServers:
        return servers

    monkeypatch.setattr(CartStore, "connect", connect)
    monkeypatch.setattr(replay_events, "EventPublisher", lambda _: servers)
    monkeypatch.setattr(replay_events, "Outbox", lambda: servers)
    monkeypatch.setattr(replay_events, "audited_now", servers.audit)
    return servers


@pytest.fixture
def replay(servers: FakeServers, capsys: pytest.CaptureFixture[str]) -> Any:
    assert servers

    def ran(*words: str) -> CommandResult:
        return run(capsys, "replay-events", "--since", "2026-01-27T10:30:00Z", *words)

    return ran


def test_all_events_but_skipped_ones_are_published_in_the_order_of_their_cart(
    servers: FakeServers, replay: Any
) -> None:
    ran = replay("--by", "grace")
    assert (ran.code, ran.out.strip()) == (0, "4 events of 4 operations published again")
    assert [one for one in servers.published if one < "b"] == ["a-1", "a-2"]
    assert [one for one in servers.published if one > "b"] == ["b-1", "b-2"]
    [line] = servers.audited
    assert (line["command"], line["by"], line["count"]) == ("replay_events", "grace", 4)
    assert servers.closed == 2


def test_only_records_since_the_time_and_of_the_store_are_asked_for(
    servers: FakeServers, replay: Any
) -> None:
    assert replay("--store", "store-1", "--json").json == {
        "events": 4,
        "operations": 4,
        "since": "2026-01-27T10:30:00.000Z",
        "dryRun": False,
    }
    assert servers.asked == (NOW, "store-1")
    assert servers.audited[0]["storeId"] == "store-1"


def test_a_dry_run_counts_and_publishes_nothing(servers: FakeServers, replay: Any) -> None:
    ran = replay("--dry-run")
    assert ran.out.strip() == "4 events of 4 operations would be published again"
    assert (servers.published, servers.audited) == ([], [])


@pytest.mark.parametrize(
    "error",
    [
        DependencyUnavailable("kafka", "no broker answers"),
        EffectRefused("a-2", "kafka", "it is too large"),
    ],
)
def test_a_replay_that_stops_says_where_to_continue(
    error: Exception, servers: FakeServers, replay: Any
) -> None:
    """At the last complete page: an event is published twice rather than left out."""
    servers.fails = {"a-2": error}
    ran = replay()
    assert ran.code == 1
    assert str(error) in ran.err
    assert "3 events published; continue with --since 2026-01-27T10:31:00.000Z" in ran.err
    assert (servers.audited, servers.closed) == ([], 2)


def test_a_replay_that_has_not_begun_continues_at_its_beginning(
    servers: FakeServers, replay: Any
) -> None:
    servers.fails = {"a-1": DependencyUnavailable("kafka")}
    assert "continue with --since 2026-01-27T10:30:00.000Z" in replay().err


def test_a_time_that_cannot_be_read_ends_with_code_2(
    servers: FakeServers, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "replay-events", "--since", "yesterday").code == 2
    assert servers.asked is None
