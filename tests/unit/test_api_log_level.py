"""`POST /admin/log-level`: authorization, validation and the response."""

import json
import logging
import subprocess
import sys
from typing import Any

import httpx
import pytest

from tests.fakes.api import FakeApi

URL = "/admin/log-level"


async def ask(api: FakeApi, body: Any, **claims: Any) -> httpx.Response:
    headers = api.token(**({"user": "admin-1", "role": "admin"} | claims))
    return await api.client.post(URL, json=body, headers=headers)


async def test_an_admin_sets_the_level_for_a_time_and_it_is_audited(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeApi()
    with caplog.at_level(logging.INFO):
        answer = await ask(api, {"level": "debug", "ttlSeconds": 60})
    assert answer.status_code == 200
    assert answer.json() == {
        "level": "debug",
        "ttlSeconds": 60,
        "until": "2026-01-27T10:45:00.000Z",
    }
    assert api.levels.asked == [("debug", 60)]
    [line] = [record for record in caplog.records if record.name == "audit"]
    fields = line.__dict__
    assert (fields["event"], fields["adminId"], fields["logLevel"]) == (
        "log_level_set",
        "admin-1",
        "debug",
    )


def test_the_audit_log_is_written_at_every_level() -> None:
    program = (
        "import logging, logs; logs.configure_logging('error'); "
        "logging.getLogger('api').warning('hidden'); logs.audit.warning('shown')"
    )
    lines = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["shown"]


async def test_an_override_lasts_fifteen_minutes_by_default() -> None:
    api = FakeApi()
    assert (await ask(api, {"level": "warn"})).json()["ttlSeconds"] == 900
    assert api.levels.asked == [("warn", 900)]


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"role": None}, 403),
        ({"role": "support"}, 403),
        ({"store": "store-1"}, 403),  # an admin of one store
    ],
)
async def test_only_admins_of_the_whole_service_set_the_level(
    claims: dict[str, Any], status: int
) -> None:
    api = FakeApi()
    answer = await ask(api, {"level": "debug"}, **claims)
    assert answer.status_code == status
    assert answer.json() == {
        "message": "Administrators of all stores only",
        "code": "forbidden",
    }
    assert (await api.client.post(URL, json={"level": "debug"})).status_code == 401
    assert api.levels.asked == []


TTL_RULE = "Ttl seconds must be an integer from 1 to 86400"


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "level", "Level is required"),
        ({"level": "loud"}, "level", "Level must be debug, info, warn or error"),
        ({"level": "DEBUG"}, "level", "Level must be debug, info, warn or error"),
        ({"level": "debug", "ttlSeconds": 0}, "ttlSeconds", TTL_RULE),
        ({"level": "debug", "ttlSeconds": 86_401}, "ttlSeconds", TTL_RULE),
        ({"level": "debug", "for": 5}, "for", "Unknown field"),
    ],
)
async def test_an_invalid_field_is_named(body: Any, field: str, message: str) -> None:
    api = FakeApi()
    answer = await ask(api, body)
    assert answer.status_code == 400
    [detail] = answer.json()["details"]
    assert (detail["field"], detail["message"]) == (field, message)
    assert api.levels.asked == []


async def test_without_redis_the_level_stays_and_the_reply_is_503() -> None:
    api = FakeApi()
    api.levels.down = True
    answer = await ask(api, {"level": "debug"})
    assert (answer.status_code, answer.json()["code"]) == (503, "redis_unavailable")
    assert answer.headers["Retry-After"] == "1"
