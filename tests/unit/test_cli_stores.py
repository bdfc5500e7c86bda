"""`cart stores` against a fake store of settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from cli.ops import connections as opening
from models.audit import AuditEntry
from models.store_settings import StoredSettings, StoreSettings
from settings import Settings
from tests.fakes.api import FakeStoreSettings
from tests.unit.cli_standin import clear_environment, run

STORE = "store-1"


class FakeConnections:
    """What `cart stores` uses of `Connections`."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.store_settings = StoredInOrder()
        self.audited: list[AuditEntry] = []
        self.unasked: dict[str, str] = {}
        self.incomplete = ""
        self.gateway = self

    async def need(self, server: str, question: Any) -> Any:
        assert server == "mongodb"
        return await question()

    async def audit(self, entry: AuditEntry) -> None:
        self.audited.append(entry)


class StoredInOrder(FakeStoreSettings):
    async def page(self, *, after: str, limit: int) -> list[StoredSettings]:
        return [self.stored[one] for one in sorted(self.stored) if one > after][:limit]


@pytest.fixture
def systems(monkeypatch: pytest.MonkeyPatch) -> FakeConnections:
    clear_environment(monkeypatch)
    fake = FakeConnections()

    @asynccontextmanager
    async def opened(_: Settings) -> AsyncIterator[FakeConnections]:
        yield fake

    monkeypatch.setattr(opening, "open_connections", opened)
    return fake


def stored(settings: StoreSettings) -> StoredSettings:
    found: StoredSettings = StoredSettings.model_construct(
        None, id=STORE, settings=settings, version=3, by="erin@ops", at=datetime.now(UTC)
    )
    return found


def test_set_changes_the_named_keys_and_is_audited(
    systems: FakeConnections, capsys: pytest.CaptureFixture[str]
) -> None:
    systems.store_settings.stored[STORE] = stored(StoreSettings(currency="EUR", max_lines=3))
    words = ("maxLines=", "maxUnits=0", "reservationPolicy=none", "--by", "ada@ops", "--json")
    ended = run(capsys, "stores", "set", STORE, *words)
    assert (ended.code, ended.err) == (0, "")
    own = {"currency": "EUR", "maxUnits": 0, "reservationPolicy": "none"}
    assert (ended.json["settings"], ended.json["version"]) == (own, 4)
    assert ended.json["effective"]["maxLines"] == 100
    kept = systems.store_settings.stored[STORE]
    assert kept.settings == StoreSettings.model_validate(own)
    assert kept.by == "ada@ops"
    [entry] = systems.audited
    assert (entry.command, entry.operator, entry.what) == (
        "stores_set",
        "ada@ops",
        {"storeId": STORE, "settings": own},
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("maxUnits=-1", "maxUnits: Max units must be an integer from 0 to 10000"),
        ("maxUnits=many", "maxUnits: Max units must be an integer"),
        ("currency=eur", "currency: Currency must be three capital letters (ISO 4217)"),
        ("currency=123", "currency: Currency must be three capital letters (ISO 4217)"),
        (
            "reservationPolicy=maybe",
            "reservationPolicy: Reservation policy must be cart, checkout or none",
        ),
        (
            "holdMinutes=241",
            "holdMinutes: Hold minutes must not be more than holdMaxMinutes, which is 240",
        ),
        ("holdTime=3", "holdTime: Unknown field"),
        ("holdTime=", "holdTime: Unknown field"),
        ("maxUnits", "maxUnits: must be KEY=VALUE"),
    ],
)
def test_a_change_that_breaks_a_rule_is_named(
    systems: FakeConnections, capsys: pytest.CaptureFixture[str], change: str, problem: str
) -> None:
    ended = run(capsys, "stores", "set", STORE, "maxLines=3", change)
    assert (ended.code, ended.err) == (2, f"{problem}\n")
    assert systems.store_settings.stored == {}
    assert systems.audited == []


def test_a_store_id_is_checked(
    systems: FakeConnections, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "stores", "set", "a/b", "maxLines=3").code == 2
    assert systems.store_settings.stored == {}


def test_show_says_who_sets_what(
    systems: FakeConnections, capsys: pytest.CaptureFixture[str]
) -> None:
    systems.store_settings.stored[STORE] = stored(StoreSettings(currency="EUR"))
    ended = run(capsys, "stores", "show", STORE)
    rows = {line.split()[0]: line.split()[1:] for line in ended.out.splitlines()}
    assert rows["currency"] == ["EUR", "the", "store"]
    assert rows["maxLines"] == ["100", "the", "service"]


def test_list_has_all_stores_with_settings(
    systems: FakeConnections, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.stores.PAGE", 2)
    for number in range(5):
        one = stored(StoreSettings(max_lines=number + 1)).model_copy(update={"id": f"s{number}"})
        systems.store_settings.stored[f"s{number}"] = one
    ended = run(capsys, "stores", "list", "--json")
    assert [(one["storeId"], one["settings"]) for one in ended.json] == [
        (f"s{number}", {"maxLines": number + 1}) for number in range(5)
    ]
    assert "maxLines=3" in run(capsys, "stores", "list").out
