"""Rate limits of the API."""

import logging

import pytest

from adapters.redis.rate_limits import LocalLimiter
from api.limits import address_key
from models.outcomes import Outcome
from tests.fakes.api import STORE, URL, USER, FakeApi, record_of, result_of, settings_for_tests


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


async def test_without_redis_each_process_counts_for_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = FakeApi(settings_for_tests(rate_limit_per_user=4, rate_limit_per_address=300))
    api.limiter.down = True
    answers = [await api.get() for _ in range(5)]
    assert [answer.status_code for answer in answers] == [404] * 4 + [429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == list("32100")
    assert int(answers[-1].headers["Retry-After"]) == 15
    assert (await api.get(user="another")).status_code == 404
    api.limiter.down = False
    with caplog.at_level(logging.WARNING):
        assert (await api.get()).status_code == 404
    [line] = [record for record in caplog.records if record.name == "api.limits"]
    assert line.__dict__["event"] == "rate_limits_back"
    assert line.__dict__["countedLocally"] == 12
    assert api.state.limits.counted_locally == 0


async def test_a_list_costs_more_than_a_read_or_a_change() -> None:
    api = FakeApi(settings_for_tests(rate_limit_per_user=300))
    api.gateway.outcome = result_of(Outcome.COMMITTED)
    api.mongo.records.append(record_of())
    await api.get()
    await api.client.head(URL, headers=api.token())
    await api.post()
    await api.get(f"/api/v1/cart/{STORE}/admin/carts", role="admin")
    read, head, change, many = api.limiter.costs
    assert read == head == change == 1
    assert many > 1


def test_buckets_in_the_process_refill_and_are_bounded() -> None:
    now = 0.0
    limiter = LocalLimiter(clock=lambda: now)
    taken = [limiter.take("a", per_minute=60, cost=25) for _ in range(3)]
    assert [(one.allowed, one.remaining) for one in taken] == [(True, 35), (True, 10), (False, 10)]
    assert taken[-1].wait_seconds == 15
    now = 15.0
    assert limiter.take("a", per_minute=60, cost=25).allowed
    # A cost above the limit takes all of it, so that it is possible at all.
    assert limiter.take("b", per_minute=2, cost=5).allowed
    assert not limiter.take("b", per_minute=2, cost=1).allowed
    for number in range(LocalLimiter.MAX_SUBJECTS + 10):
        limiter.take(str(number), per_minute=60)
    assert len(limiter._buckets) == LocalLimiter.MAX_SUBJECTS


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0DB8:0001:0002::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", "unknown"),
        ("unknown", "unknown"),
        ("203.0.113.7; DROP", "unknown"),
    ],
)
def test_a_customer_of_ipv6_is_one_address(host: str, key: str) -> None:
    assert address_key(host) == key


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
