"""Rate limits as clients meet them."""

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


async def test_without_a_token_no_bucket_is_emptied() -> None:
    api = FakeApi(settings_for_tests(rate_limit_per_user=1))
    assert (await api.client.get("/api/v1/cart/s/store")).status_code == 401
    assert api.limiter.taken == []


async def test_every_answer_is_safe_in_a_browser() -> None:
    api = FakeApi()
    for url in ("/health/live", "/nowhere", "/docs"):
        headers = (await api.client.get(url)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
