"""The systems that operators ask, in memory, and the commands of `cart ops` on them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from adapters.mongo.outbox import Waiting
from models.audit import AuditEntry
from models.documents import OperationRecord
from models.intake import IntakeHold
from models.upkeep.watch import HoldWatch
from ops.connections import Connections
from settings import Settings
from tests.fakes.api import RUN_ID
from workflows.pages import Pages

NOW = datetime(2026, 1, 27, 10, 30, tzinfo=UTC)


def execution(status: WorkflowExecutionStatus, attributes: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(
        id="cart/store-1/user-1",
        run_id=RUN_ID,
        workflow_type="AddItem",
        status=status,
        start_time=NOW - timedelta(seconds=3),
        close_time=NOW,
        typed_search_attributes=SimpleNamespace(get=lambda key: attributes.get(key.name)),
    )


class FakeTemporal:
    def __init__(self, runs: list[SimpleNamespace]) -> None:
        self.runs = runs
        self.relays: list[SimpleNamespace] = []
        self.queries: list[str] = []

    async def list_workflows(self, query: str, **_: Any) -> AsyncIterator[SimpleNamespace]:
        self.queries.append(query)
        for one in self.runs if query.startswith("CartOperation") else self.relays:
            yield one

    def get_workflow_handle(self, *_: Any, **__: Any) -> SimpleNamespace:
        async def deleted(**_: Any) -> None:
            raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")

        return SimpleNamespace(fetch_history=deleted)  # no worker answers a query

    async def count_workflows(self, *_: Any, **__: Any) -> SimpleNamespace:
        return SimpleNamespace(count=len(self.runs))


class FakeOutbox:
    def __init__(self) -> None:
        self.left: list[Waiting] = []

    async def waiting_shards(self, shards: int) -> list[Waiting]:
        assert shards > 0
        return self.left

    async def holder(self, _: str) -> None:
        return None

    async def pending_of(self, **_: Any) -> list[OperationRecord]:
        return []


class FakeIntake:
    def __init__(self) -> None:
        self.holds: list[IntakeHold] = []

    async def active(self) -> list[IntakeHold]:
        return self.holds

    async def release(self, *_: Any, **__: Any) -> None:
        return None


class FakeSignalGateway:
    def __init__(self) -> None:
        self.signals: list[tuple[Any, ...]] = []
        self.audited: list[AuditEntry] = []

    async def audit(self, entry: AuditEntry) -> None:
        self.audited.append(entry)

    async def signal_relay(self, *words: Any, shards: int) -> None:
        assert shards == 16
        self.signals.append(words)


class FakeAcknowledgements:
    async def of(self, _: Any) -> dict[str, Any]:
        return {}


class FakeRecords:
    async def records(self, _: Any) -> dict[str, Any]:
        return {}


class FakeWatches:
    def __init__(self) -> None:
        self.watch: HoldWatch | None = None

    async def latest(self) -> HoldWatch | None:
        return self.watch


class FakeConnections(Connections):
    temporal: Any
    gateway: Any
    outbox: Any
    intake: Any
    watches: Any

    def __init__(self, **changed: Any) -> None:
        systems: dict[str, Any] = {
            "settings": Settings(),
            "temporal": FakeTemporal([]),
            "gateway": FakeSignalGateway(),
            "pages": Pages("http://ui", "default"),
            "carts": SimpleNamespace(),
            "operations": FakeRecords(),
            "outbox": FakeOutbox(),
            "intake": FakeIntake(),
            "store_settings": SimpleNamespace(),
            "acknowledgements": FakeAcknowledgements(),
            "watches": FakeWatches(),
        }
        super().__init__(**(systems | changed))


def opened_as(monkeypatch: pytest.MonkeyPatch, systems: FakeConnections) -> None:
    """Has the commands work with these systems."""

    @asynccontextmanager
    async def open_connections(_: Settings) -> AsyncIterator[FakeConnections]:
        yield systems

    monkeypatch.setattr("cli.ops.connections.open_connections", open_connections)
