"""The operators' page and its routes: who may see what, and that the answers are what
`cart ops` prints."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from temporalio.client import WorkflowExecutionStatus

from adapters.mongo.outbox import Waiting
from models.drift import Drift, DriftKind
from models.effects import EffectKind
from models.errors import DependencyUnavailable
from models.intake import IntakeHold
from models.upkeep.reconcile import Finding
from models.upkeep.watch import HoldWatch, WatchPass
from tests.fakes.api import RUN_ID, FakeApi, settings_for_tests
from tests.fakes.operators import FakeConnections, execution, opened_as
from tests.unit.cli_standin import run
from tests.unit.test_api_docs import Page

ALL, ONE = {"user": "ada", "role": "admin"}, {"user": "bob", "role": "admin", "store": "store-1"}
READS = ("access", "stuck", "sagas", "pending", "drift", "show?saga=store-2/user-1")
NOW = datetime.now(UTC)
COMMITTED = execution(WorkflowExecutionStatus.COMPLETED, {"CartStoreId": "store-1"})


class OpsApi(FakeApi):
    """The API with the page, connected to systems in memory."""

    def __init__(self) -> None:
        self.systems = FakeConnections()
        super().__init__(settings_for_tests(enable_ops_page=True), ops=self.systems)

    async def read(self, route: str, **claims: Any) -> httpx.Response:
        return await self.client.get(f"/admin/ops/{route}", headers=self.token(**claims))

    async def send(self, action: str, body: dict[str, str], **claims: Any) -> httpx.Response:
        url = f"/admin/ops/{action}"
        return await self.client.post(url, json=body, headers=self.token(**claims))


async def test_without_the_setting_there_is_no_page_and_no_route() -> None:
    api = FakeApi()
    for path in ("/ops", "/ops/main.js", *(f"/admin/ops/{route}" for route in READS)):
        answer = await api.client.get(path, headers=api.token(**ALL))
        assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found")


async def test_the_page_loads_and_runs_only_what_this_service_serves() -> None:
    api = OpsApi()
    page = await api.client.get("/ops")
    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "script-src 'self'; style-src 'self'" in page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert Page(page.text).inline == []
    loaded = [address for address in Page(page.text).loaded if address != "data:,"]
    assert loaded == ["ops/page.css", "ops/main.js"]
    for address in loaded:
        assert (await api.client.get(urljoin("/ops", address))).status_code == 200
    assert "http" not in page.text


@pytest.mark.parametrize("route", READS)
async def test_a_read_needs_the_token_of_an_admin(route: str) -> None:
    api = OpsApi()
    assert (await api.client.get(f"/admin/ops/{route}")).status_code == 401
    for claims in ({"user": "eve"}, {"user": "eve", "role": "support", "store": "store-2"}):
        answer = await api.read(route, **claims)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert api.systems.temporal.queries == []


@pytest.mark.parametrize("route", ["stuck", "sagas", "pending", "drift"])
async def test_an_admin_of_a_store_sees_that_store_only(route: str) -> None:
    api = OpsApi()
    api.systems.watches.watch = watch()
    assert (await api.read(f"{route}?storeId=store-1", **ONE)).status_code == 200
    for other in ("", "?storeId=store-2"):
        assert (await api.read(route + other, **ONE)).status_code == 403
    assert all("CartStoreId = 'store-1'" in query for query in api.systems.temporal.queries)


async def test_a_saga_of_another_store_is_unknown_to_an_admin_of_a_store() -> None:
    api = OpsApi()
    api.systems.temporal.runs = [
        execution(WorkflowExecutionStatus.COMPLETED, {"CartStoreId": "store-2", "CartUserId": "u"})
    ]
    answer = await api.read(f"show?saga={RUN_ID}", **ONE)
    assert (answer.status_code, answer.json()["code"]) == (404, "operation_not_found")
    assert (await api.read("show?saga=store-2/u", **ONE)).status_code == 403


async def test_who_the_admin_is() -> None:
    api = OpsApi()
    everywhere, somewhere = await api.read("access", **ALL), await api.read("access", **ONE)
    shown = [
        {name: answer.json()[name] for name in ("admin", "allStores", "stores")}
        for answer in (everywhere, somewhere)
    ]
    assert shown == [
        {"admin": "ada", "allStores": True, "stores": []},
        {"admin": "bob", "allStores": False, "stores": ["store-1"]},
    ]


async def test_the_sagas_are_what_the_command_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api = OpsApi()
    api.systems.temporal.runs = [COMMITTED]
    found = (await api.read("sagas?storeId=store-1&outcome=committed", **ALL)).json()
    opened_as(monkeypatch, api.systems)
    words = ("ops", "list", "--store", "store-1", "--outcome", "committed", "--json")
    printed = (await asyncio.to_thread(run, capsys, *words)).json
    for name in ("count", "query", "url"):
        assert found[name] == printed[name]
    [one], [other] = found["sagas"], printed["sagas"]
    times = {"startedAt", "closedAt"}  # the API writes milliseconds
    assert {**one, **dict.fromkeys(times)} == {**other, **dict.fromkeys(times)}


async def test_what_is_stuck_is_what_the_command_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api = OpsApi()
    old = NOW - timedelta(minutes=5)
    api.systems.outbox.left = [Waiting(EffectKind.EVENT, 3, 7, old, old)]
    api.systems.intake.holds = [
        IntakeHold.model_construct(None, store_id=store, by="erin", reason="stocktaking", at=old)
        for store in ("store-1", "store-2")
    ]
    found = (await api.read("stuck", **ALL)).json()
    assert found["ok"] is False
    opened_as(monkeypatch, api.systems)
    command = ("ops", "stuck", "--json")
    printed = (await asyncio.to_thread(run, capsys, *command)).json["problems"]
    said = [(one["kind"], one["what"], one["advice"]) for one in found["problems"]]
    assert said == [(one["kind"], one["what"], one["advice"]) for one in printed]
    assert [one[0] for one in said] == ["relay", "intake", "intake"]
    mine = (await api.read("stuck?storeId=store-1", **ONE)).json()["problems"]
    assert [(one["kind"], one["name"]) for one in mine] == [("intake", "store-1")]


async def test_drift_of_a_store() -> None:
    api = OpsApi()
    assert "not been compared" in (await api.read("drift", **ALL)).json()["next"]
    api.systems.watches.watch = watch()
    everywhere = (await api.read("drift", **ALL)).json()
    assert [one["storeId"] for one in everywhere["findings"]] == ["store-1", "store-2"]
    mine = (await api.read("drift?storeId=store-1", **ONE)).json()
    [found] = mine["findings"]
    assert found["what"] == "2 held, 0 in the cart (a leaked hold, which no cart has)"
    assert mine["next"].startswith("`cart reconcile --store store-1` lists all drifts")


def watch() -> HoldWatch:
    found = [
        Finding(
            store_id=store,
            user_id="user-1",
            record_id="r",
            drift=Drift(
                kind=DriftKind.ORPHANED_HOLD, product_id="p", detail="2 held, 0 in the cart"
            ),
            seen_at=NOW,
        )
        for store in ("store-1", "store-2")
    ]
    made: HoldWatch = HoldWatch.model_construct(
        None, at=NOW, last=WatchPass(began=NOW), drifts=found
    )
    return made


async def test_a_server_that_is_away_is_named() -> None:
    api = OpsApi()

    async def away(_: Any = None) -> Any:
        raise DependencyUnavailable("mongodb", "connection refused")

    api.systems.outbox.waiting_shards = api.systems.outbox.pending_of = away
    relays = (await api.read("pending", **ALL)).json()
    assert relays["unasked"] == {"mongodb": "connection refused"}
    assert relays["incomplete"] == (
        "Incomplete: MongoDB (connection refused) could not be asked; see `cart doctor`"
    )
    again = (await api.read("sagas", **ALL)).json()
    assert again["unasked"] == {}, "each request asks anew"
    api.systems.watches.latest = away
    answer = await api.read("drift", **ALL)
    assert (answer.status_code, answer.json()["code"]) == (503, "mongodb_unavailable")
    assert "MongoDB does not answer" in answer.json()["message"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("outcome=lost", "outcome"),
        ("olderThan=soon", "olderThan"),
        ("limit=101", "limit"),
        ("storeId=a/b", "storeId"),
        ("store=store-1", "store"),
    ],
)
async def test_an_invalid_parameter_is_named(query: str, field: str) -> None:
    answer = await OpsApi().read(f"sagas?{query}", **ALL)
    assert answer.status_code == 400
    assert [one["field"] for one in answer.json()["details"]] == [field]


SIGNALS: dict[str, dict[str, str]] = {
    "abort": {"saga": "store-2/user-1"},
    "ack": {"saga": "store-2/user-1"},
    "retry": {"relay": "event/3"},
    "pause": {"relay": "event/3"},
    "resume": {"relay": "event/3"},
    "skip": {"effect": "e-1"},
}


@pytest.mark.parametrize("action", SIGNALS)
async def test_a_signal_needs_an_admin_a_reason_and_known_fields(action: str) -> None:
    api = OpsApi()
    body = {"reason": "a test", **SIGNALS[action]}
    assert (await api.client.post(f"/admin/ops/{action}", json=body)).status_code == 401
    assert (await api.send(action, body, user="eve")).status_code == 403
    for reason in ("", " ", "x" * 501):
        refused = await api.send(action, body | {"reason": reason}, **ALL)
        assert refused.status_code == 400
        assert [one["field"] for one in refused.json()["details"]] == ["reason"]
    assert (await api.send(action, body | {"by": "me"}, **ALL)).status_code == 400
    assert api.systems.gateway.signals == []


@pytest.mark.parametrize("action", ["retry", "pause", "resume", "skip"])
async def test_an_admin_of_a_store_does_not_steer_relays(action: str) -> None:
    api = OpsApi()
    answer = await api.send(action, {"reason": "a test", **SIGNALS[action]}, **ONE)
    assert (answer.status_code, answer.json()["message"]) == (
        403,
        "Administrators of all stores only",
    )
    assert api.systems.gateway.signals == []


async def test_a_signal_has_the_admin_as_operator_and_an_audit_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = OpsApi()
    with caplog.at_level(logging.INFO):
        answer = await api.send("pause", {"relay": "event/3", "reason": "new broker"}, **ALL)
    assert answer.status_code == 200
    assert api.systems.gateway.signals == [
        (EffectKind.EVENT, 3, "pause", "new broker", "admin:ada")
    ]
    [line] = [record.__dict__ for record in caplog.records if record.name == "audit"]
    assert (line["event"], line["adminId"]) == ("ops_signalled", "ada")
    assert (line["action"], line["relay"], line["reason"]) == ("pause", "event/3", "new broker")
    unknown = await api.send("pause", {"relay": "event/99", "reason": "new broker"}, **ALL)
    assert (unknown.status_code, "no relay" in unknown.json()["message"]) == (400, True)


async def test_each_read_is_an_audit_line(caplog: pytest.LogCaptureFixture) -> None:
    api = OpsApi()
    with caplog.at_level(logging.INFO):
        await api.read("sagas?storeId=store-1&userId=user-1", **ONE)
    [line] = [record.__dict__ for record in caplog.records if record.name == "audit"]
    shown = {name: line[name] for name in ("event", "adminId", "view", "storeId", "userId")}
    assert shown == {
        "event": "ops_viewed",
        "adminId": "bob",
        "view": "sagas",
        "storeId": "store-1",
        "userId": "user-1",
    }


def test_the_routes_are_not_in_the_openapi_document() -> None:
    assert not [path for path in OpsApi().app.openapi()["paths"] if "ops" in path]
