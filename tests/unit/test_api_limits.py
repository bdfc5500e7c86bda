"""Rate limits as clients meet them."""

import logging

import pytest

from models.messages import Outcome
from tests.fakes.api import USER, FakeApi, record_of, result_of, settings_for_tests


async def test_without_limits_nobody_is_counted() -> None:
    api = FakeApi()
    answer = await api.get()
    assert answer.status_code == 404
    assert "RateLimit-Limit" not in answer.headers
    assert api.limiter.taken == []


async def test_what_is_left_is_told_and_who_has_none_waits() -> None:
    api = FakeApi(settings_for_tests(rate_limit_per_user=300, rate_limit_per_address=3000))
    api.limiter.left = 2
    answer = await api.get()
    assert api.limiter.taken == ["address:127.0.0.1", f"user:{USER}"]
    assert answer.headers["RateLimit-Limit"] == "300"
    assert answer.headers["RateLimit-Remaining"] == "0"
    assert answer.headers["RateLimit-Reset"] == "60"
    refused = await api.post()
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "7"
    assert refused.json()["code"] == "rate_limited"
    assert api.gateway.added == []


async def test_without_redis_nobody_is_limited() -> None:
    api = FakeApi(settings_for_tests(rate_limit_per_user=1))
    api.limiter.down = True
    api.gateway.outcome = result_of(Outcome.COMMITTED)
    api.carts.records.append(record_of())
    assert [(await api.post()).status_code for _ in range(3)] == [201] * 3


async def test_requests_that_could_not_be_limited_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeApi(settings_for_tests(rate_limit_per_user=300, rate_limit_per_address=300))
    api.limiter.down = True
    for _ in range(3):
        answer = await api.get()
        assert "RateLimit-Limit" not in answer.headers
    assert api.state.limits.unlimited == 6
    api.limiter.down = False
    with caplog.at_level(logging.WARNING):
        await api.get()
    [line] = [record for record in caplog.records if record.name == "api.limits"]
    assert (line.__dict__["event"], line.__dict__["unlimited"]) == ("rate_limits_back", 6)
    assert api.state.limits.unlimited == 0


async def test_guesses_at_tokens_count_against_the_address_and_no_user() -> None:
    api = FakeApi(settings_for_tests(rate_limit_per_user=300, rate_limit_per_address=300))
    api.limiter.left = 2
    url = "/api/v1/cart/s/store"
    statuses = [
        (await api.client.get(url, headers={"Authorization": "Bearer guess"})).status_code
        for _ in range(3)
    ]
    assert statuses == [401, 401, 429]
    assert api.limiter.taken == ["address:127.0.0.1"] * 3


async def test_who_is_refused_by_the_address_spends_nothing_of_the_users() -> None:
    api = FakeApi(settings_for_tests(rate_limit_per_user=300, rate_limit_per_address=300))
    api.limiter.left = 0
    assert (await api.get()).status_code == 429
    assert api.limiter.taken == ["address:127.0.0.1"]


async def test_every_answer_is_safe_in_a_browser() -> None:
    api = FakeApi()
    for url in ("/health/live", "/nowhere", "/docs"):
        headers = (await api.client.get(url)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
