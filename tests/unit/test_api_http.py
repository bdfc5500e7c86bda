"""Rules for every request: ids, one shape of errors, logs without secrets, documentation."""

import logging
import re
from typing import Any

import pytest
from fastapi import FastAPI

from api import app as app_module
from models.outcomes import Outcome
from tests.fakes.api import ITEM, STORE, URL, USER, FakeApi, record_of, result_of


@pytest.mark.parametrize("given", ["abc", "A.b_c-1", "a" * 128])
async def test_a_request_id_is_returned(given: str) -> None:
    api = FakeApi()
    for url in (URL, "/health/live", "/nowhere"):
        answer = await api.client.get(url, headers={"X-Request-Id": given})
        assert answer.headers.get_list("X-Request-Id") == [given]


@pytest.mark.parametrize("given", ["", "a b", "a" * 129, "a\tb", "{}", None])
async def test_a_request_without_a_valid_id_gets_one(given: str | None) -> None:
    api = FakeApi()
    headers = {} if given is None else {"X-Request-Id": given}
    ids = {
        (await api.client.get("/health/live", headers=headers)).headers["X-Request-Id"]
        for _ in range(2)
    }
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", made) for made in ids)


async def test_unknown_paths_and_methods_get_the_common_error_shape() -> None:
    api = FakeApi()
    for url in ("/nowhere", "/api/v1/cart", f"{URL}/", "/redoc", "/api/v1/cart/a/b/c/d"):
        answer = await api.client.get(url, headers=api.token())
        assert (answer.status_code, answer.json()) == (
            404,
            {"message": "Not Found", "code": "route_not_found"},
        )
    answer = await api.client.patch(URL)
    assert (answer.status_code, answer.json()) == (
        405,
        {"message": "Method Not Allowed", "code": "method_not_allowed"},
    )
    assert answer.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        (None, 404),
        ("", 404),
        ("*/*", 404),
        ("application/*", 404),
        ("Application/JSON; charset=utf-8", 404),
        ("text/html, application/xhtml+xml, */*;q=0.8", 404),
        ("application/json;q=0.001", 404),
        ("text/html", 406),
        ("application/xml;q=0.9, text/*", 406),
        ("application/json;q=0, */*;q=0.0", 406),
        ("application/jsonx", 406),
        (";;,,;", 406),
    ],
)
async def test_a_client_that_does_not_accept_json_gets_406_and_nothing_is_started(
    accept: str | None, status: int
) -> None:
    api = FakeApi()
    api.client.headers.pop("Accept")
    headers = api.token() | ({} if accept is None else {"Accept": accept})
    answer = await api.client.get(URL, headers=headers)
    assert answer.status_code == status
    if status == 406:
        assert answer.json() == {
            "message": "Answers are application/json, which Accept does not allow",
            "code": "not_acceptable",
        }
        assert (await api.post(headers=headers)).status_code == 406
        assert api.gateway.started == []


async def test_a_change_logs_one_line_without_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeApi()
    api.gateway.outcome = result_of(Outcome.COMMITTED)
    api.mongo.records.append(record_of())
    headers = api.token(name="Jane Roe", email="jane@example.com")
    with caplog.at_level(logging.INFO):
        await api.post(
            ITEM | {"email": "other@example.com", "idempotencyKey": "my-secret-key"},
            headers=headers | {"X-Request-Id": "abc"},
        )
        await api.get(URL)
    [line] = [record for record in caplog.records if record.name.startswith("api")]
    fields = line.__dict__
    assert (line.levelname, line.getMessage()) == ("INFO", "Cart item added")
    assert fields["event"] == "cart_item_added"
    assert fields["status"] == 201
    assert (fields["storeId"], fields["userId"]) == (STORE, USER)
    assert (fields["productId"], fields["quantity"]) == (ITEM["productId"], 2)
    assert fields["sagaId"] == "cart-1-user-1-product-1"
    assert fields["route"] == "/api/v1/cart/{storeId}/store"
    for secret in ("jane", "Jane", "other@", "my-secret-key", headers["Authorization"][7:]):
        assert secret not in repr(fields)


async def test_failures_are_logged_as_errors(caplog: pytest.LogCaptureFixture) -> None:
    api = FakeApi()
    api.gateway.outcome = RuntimeError("boom")
    with caplog.at_level(logging.INFO):
        await api.post()
    levels = {record.levelname for record in caplog.records if record.name.startswith("api")}
    assert levels == {"ERROR"}
    assert any(record.exc_info for record in caplog.records)


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


async def test_every_response_of_every_route_is_documented_with_an_example() -> None:
    api = FakeApi()
    document = (await api.client.get("/openapi.json")).json()
    assert document["info"]["title"] == "Cart Service"
    routes = dict(operations(document))
    assert set(routes) == {
        "post /api/v1/cart/{storeId}/store",
        "get /api/v1/cart/{storeId}/store",
        "delete /api/v1/cart/{storeId}/store",
        "get /api/v1/cart/{storeId}/store/events",
        "post /api/v1/cart/{storeId}/store/batch",
        "post /api/v1/cart/{storeId}/store/merge",
        "get /api/v1/cart/{id}",
        "put /api/v1/cart/{id}",
        "delete /api/v1/cart/{id}",
        "delete /api/v1/cart/{id}/items/{productId}",
        "post /api/v1/cart/{id}/extend",
        "post /api/v1/cart/{storeId}/store/checkout",
        "delete /api/v1/cart/{storeId}/store/checkout",
        "get /api/v1/cart/{id}/history",
        "get /api/v1/cart/{storeId}/admin/carts",
        "get /api/v1/cart/{storeId}/operations/{operationId}",
        "post /api/v1/guests",
        "get /admin/stores/{storeId}/settings",
        "put /admin/stores/{storeId}/settings",
        "post /admin/log-level",
        "get /health",
        "get /health/live",
        "get /health/ready",
    }
    for name, operation in routes.items():
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"], name
        for status, response in operation["responses"].items():
            if status == "304":
                assert "content" not in response  # it has no body
                continue
            [content] = response["content"].values()
            assert content["schema"], (name, status)
            assert content.get("example") or content.get("examples"), (name, status)
        protected = operation.get("security") == [{"bearer": []}]
        is_open = "/health" in name
        assert protected == (not is_open and "/guests" not in name)
        assert ("401" in operation["responses"]) == protected, name
        for status in ("406", "413", "429", "500"):
            assert (status in operation["responses"]) == (not is_open), (name, status)
    added = routes["post /api/v1/cart/{storeId}/store"]
    assert {"2XX", "201", "202", "400", "409", "413", "415", "422", "503"} < set(added["responses"])
    assert "ValidationError" not in str(document)
    assert document["components"]["schemas"]["AddItemRequest"]["examples"]


async def test_the_documented_example_is_accepted() -> None:
    api = FakeApi()
    api.gateway.outcome = result_of(Outcome.COMMITTED)
    api.mongo.records.append(record_of())
    [example] = app_example(api.app)
    assert (await api.post(example)).status_code == 201


def app_example(app: FastAPI) -> list[dict[str, Any]]:
    examples: list[dict[str, Any]] = app.openapi()["components"]["schemas"]["AddItemRequest"][
        "examples"
    ]
    return examples


def test_settings_that_cannot_be_used_end_the_process_readably(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CART_ENV_FILE", "")
    monkeypatch.setenv("PORT", "many")
    monkeypatch.setenv("CART_MAX_LINES", "0")
    with pytest.raises(SystemExit) as ended:
        _ = app_module.app
    assert sorted(line.split(":")[0] for line in str(ended.value).splitlines()) == [
        "CART_MAX_LINES='0'",
        "PORT='many'",
    ]
