"""`/admin/stores/{storeId}/settings`: authorization, validation, entity tags, and their effect."""

import logging
from typing import Any

import httpx
import pytest

from models.outcomes import Outcome
from tests.fakes.api import STORE, FakeApi, record_of, result_of

URL = f"/admin/stores/{STORE}/settings"
ADMIN = {"user": "admin-1", "role": "admin", "store": STORE}
USUAL = {
    "currency": "USD",
    "maxLines": 100,
    "maxQuantity": 100,
    "maxUnits": 1000,
    "maxValue": 0,
    "expiryDays": 30,
    "holdMinutes": 0,
    "holdMaxMinutes": 240,
    "checkoutMinutes": 15,
    "reservationPolicy": "cart",
}


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


async def put(
    api: FakeApi, body: Any, *, if_match: str | None = None, **claims: Any
) -> httpx.Response:
    headers = api.token(**(ADMIN | claims)) | ({"If-Match": if_match} if if_match else {})
    return await api.client.put(URL, json=body, headers=headers)


async def test_a_store_without_settings_has_the_services(api: FakeApi) -> None:
    answer = await api.get(URL, **ADMIN)
    assert (answer.status_code, answer.headers["etag"]) == (200, '"0"')
    assert answer.json() == {"storeId": STORE, "settings": {}, "effective": USUAL, "version": 0}


async def test_put_replaces_all_settings_and_is_audited(
    api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    await put(api, {"currency": "EUR", "maxLines": 3})
    caplog.clear()
    with caplog.at_level(logging.INFO):
        answer = await put(api, {"maxUnits": 0, "reservationPolicy": "none", "currency": None})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    body = answer.json()
    assert body.pop("updatedAt").endswith("Z")
    own = {"maxUnits": 0, "reservationPolicy": "none"}
    assert body == {"storeId": STORE, "settings": own, "effective": USUAL | own, "version": 2}
    assert (await api.get(URL, **ADMIN)).json() == answer.json()
    [line] = [record.__dict__ for record in caplog.records if record.name == "audit"]
    assert (line["event"], line["adminId"], line["storeId"], line["settings"], line["version"]) == (
        "store_settings_set",
        "admin-1",
        STORE,
        own,
        2,
    )


async def test_the_next_operation_takes_them_with_it(api: FakeApi) -> None:
    api.gateway.outcome = result_of(Outcome.COMMITTED, answer=record_of().answer)
    await api.post()
    body = {"currency": "EUR", "maxUnits": 5, "holdMinutes": 0.5, "reservationPolicy": "none"}
    await put(api, body)
    await api.post()
    before, after = (operation.policy for operation in api.gateway.added)
    assert before == api.state.policies.usual
    assert after == before.model_copy(
        update={"currency": "EUR", "max_units": 5, "hold_seconds": 30, "reserve": False}
    )


async def test_without_mongodb_an_add_in_an_unknown_store_is_refused(api: FakeApi) -> None:
    api.store_settings.down = True
    answer = await api.post()
    assert (answer.status_code, answer.json()["code"]) == (503, "mongodb_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert api.gateway.started == []
    for answer in (await api.get(URL, **ADMIN), await put(api, {})):
        assert (answer.status_code, answer.json()["code"]) == (503, "mongodb_unavailable")


@pytest.mark.parametrize(
    ("if_match", "status"),
    [('"1"', 200), ("*", 200), ('"7", "1"', 200), ('"0"', 412), ('"2"', 412), ('W/"1"', 412)],
)
async def test_if_match_guards_against_lost_changes(
    api: FakeApi, if_match: str, status: int
) -> None:
    await put(api, {"maxLines": 3})
    answer = await put(api, {"maxLines": 4}, if_match=if_match)
    assert answer.status_code == status
    if status == 412:
        assert answer.json()["code"] == "precondition_failed"
    stored = api.store_settings.stored[STORE]
    assert (stored.version, stored.settings.max_lines) == ((2, 4) if status == 200 else (1, 3))


@pytest.mark.parametrize(("if_match", "status"), [('"0"', 200), ("*", 412), ('"1"', 412)])
async def test_if_match_before_the_first_settings(api: FakeApi, if_match: str, status: int) -> None:
    assert (await put(api, {"maxLines": 4}, if_match=if_match)).status_code == status
    assert (STORE in api.store_settings.stored) == (status == 200)


@pytest.mark.parametrize(
    "claims",
    [{"role": None}, {"role": "support"}, {"store": "another"}, {"role": "admin", "store": None}],
)
async def test_only_admins_of_the_store_see_and_set_them(
    api: FakeApi, claims: dict[str, Any]
) -> None:
    if claims.get("store", STORE) is None:  # an admin of all stores
        claims = {"store": "*"}
        assert (await put(api, {"maxLines": 4}, **claims)).status_code == 200
        return
    for answer in (await put(api, {"maxLines": 4}, **claims), await api.get(URL, **ADMIN | claims)):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert api.store_settings.stored == {}


@pytest.mark.parametrize(
    ("body", "field", "code", "message"),
    [
        ({"maxUnits": -1}, "maxUnits", "out_of_range", "must be an integer from 0 to 10000"),
        ({"maxUnits": 10_001}, "maxUnits", "out_of_range", "must be an integer from 0 to 10000"),
        ({"maxUnits": "5"}, "maxUnits", "invalid_type", "must be an integer"),
        ({"maxLines": 101}, "maxLines", "out_of_range", "must be an integer from 1 to 100"),
        ({"maxQuantity": 0}, "maxQuantity", "out_of_range", "must be an integer from 1 to 100"),
        ({"expiryDays": 0}, "expiryDays", "out_of_range", "must be an integer from 1 to 3650"),
        ({"maxValue": 0.5}, "maxValue", "invalid_type", "must be an integer"),
        ({"holdMinutes": -0.5}, "holdMinutes", "out_of_range", "must be a number from 0 to 43200"),
        ({"holdMinutes": "5"}, "holdMinutes", "invalid_type", "must be a number"),
        ({"holdMaxMinutes": 0}, "holdMaxMinutes", "out_of_range", "above 0"),
        ({"holdMinutes": 241}, "holdMinutes", "out_of_range", "holdMaxMinutes, which is 240"),
        (
            {"holdMinutes": 2, "holdMaxMinutes": 1.5},
            "holdMinutes",
            "out_of_range",
            "holdMaxMinutes, which is 1.5",
        ),
        ({"currency": "eur"}, "currency", "invalid_format", "three capital letters"),
        ({"currency": "EURO"}, "currency", "invalid_format", "three capital letters"),
        ({"reservationPolicy": "maybe"}, "reservationPolicy", "not_allowed", "checkout or none"),
        ({"holdTime": 3}, "holdTime", "unknown_field", "Unknown field"),
        ({"max_units": 3}, "max_units", "unknown_field", "Unknown field"),
    ],
)
async def test_a_setting_that_breaks_a_rule_is_named(
    api: FakeApi, body: Any, field: str, code: str, message: str
) -> None:
    answer = await put(api, {"currency": "EUR"} | body)
    assert answer.status_code == 400
    [detail] = answer.json()["details"]
    assert (detail["field"], detail["code"]) == (field, code)
    assert message in detail["message"]
    assert api.store_settings.stored == {}
