"""Rate limits of the API."""

import logging

import pytest

from models.outcomes import Outcome
from tests.fakes.api import USER, FakeApi, record_of, result_of, settings_for_tests


async def test_without_limits_no_request_is_counted() -> None:
    api = FakeApi()
    answer = await api.get()
    assert answer.status_code == 404
    assert "RateLimit-Limit" not in answer.headers
    assert api.limiter.taken == []


async def test_responses_have_the_remaining_requests_and_429_the_time_to_wait() -> None:
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


async def test_without_redis_no_request_is_limited() -> None:
    api = FakeApi(settings_for_tests(rate_limit_per_user=1))
    api.limiter.down = True
    api.gateway.outcome = result_of(Outcome.COMMITTED)
    api.mongo.records.append(record_of())
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


async def test_requests_with_an_invalid_token_count_against_the_address_only() -> None:
    api = FakeApi(settings_for_tests(rate_limit_per_user=300, rate_limit_per_address=300))
    api.limiter.left = 2
    url = "/api/v1/cart/s/store"
    statuses = [
        (await api.client.get(url, headers={"Authorization": "Bearer guess"})).status_code
        for _ in range(3)
    ]
    assert statuses == [401, 401, 429]
    assert api.limiter.taken == ["address:127.0.0.1"] * 3


async def test_a_request_over_the_limit_of_the_address_does_not_count_against_the_user() -> None:
    api = FakeApi(settings_for_tests(rate_limit_per_user=300, rate_limit_per_address=300))
    api.limiter.left = 0
    assert (await api.get()).status_code == 429
    assert api.limiter.taken == ["address:127.0.0.1"]


async def test_every_response_has_the_security_headers() -> None:
    api = FakeApi()
    for url in ("/health/live", "/nowhere", "/docs"):
        headers = (await api.client.get(url)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
