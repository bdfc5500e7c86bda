"""CORS: off by default; with an origin set its pages can use the API."""

from typing import Any

import pytest

from settings import Settings
from tests.fakes.api import URL, FakeApi, settings_for_tests

SHOP = "https://shop.example.com"
PREFLIGHT = {
    "Origin": SHOP,
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "authorization,content-type,idempotency-key,if-match",
}


@pytest.fixture
def api() -> FakeApi:
    return FakeApi(settings_for_tests(cors_origins=(SHOP,), rate_limit_per_user=300))


async def test_cors_is_off_by_default() -> None:
    api = FakeApi()
    answer = await api.client.get(URL, headers=api.token() | {"Origin": SHOP})
    preflight = await api.client.options(URL, headers=PREFLIGHT)
    assert preflight.status_code == 204  # as any OPTIONS request
    for headers in (answer.headers, preflight.headers):
        assert not [name for name in headers if name.startswith("access-control")]


async def test_a_preflight_needs_no_token_and_allows_the_methods_and_headers_of_the_api(
    api: FakeApi,
) -> None:
    answer = await api.client.options(URL, headers=PREFLIGHT)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    for name in PREFLIGHT["Access-Control-Request-Headers"].split(","):
        assert name in allowed
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "changed",
    [
        {"Origin": "https://evil.example.com"},
        {"Access-Control-Request-Method": "PATCH"},
    ],
)
async def test_a_preflight_for_another_method_or_origin_is_refused(
    api: FakeApi, changed: dict[str, str]
) -> None:
    answer = await api.client.options(URL, headers=PREFLIGHT | changed)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "names",
    [
        "traceparent,tracestate,baggage",
        "sentry-trace,baggage",
        "x-datadog-origin,x-datadog-parent-id,x-datadog-sampling-priority,x-datadog-trace-id",
        "b3,x-b3-traceid,x-b3-spanid,x-b3-sampled",
        "newrelic,traceparent,tracestate",
        "uber-trace-id",
        "x-requested-with",
        "accept,accept-language,cache-control,pragma,prefer,x-request-id",
        "x-anything",
    ],
)
async def test_headers_that_libraries_add_are_allowed(api: FakeApi, names: str) -> None:
    """Otherwise a page that is traced or monitored loses each of its calls."""
    for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
        asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": names}
        answer = await api.client.options(URL, headers=PREFLIGHT | asked)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Headers"] == names
        assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")


async def test_a_preflight_names_no_user_and_counts_against_no_limit(api: FakeApi) -> None:
    answer = await api.client.options(URL, headers=PREFLIGHT)
    assert "Origin" in answer.headers["Vary"]
    assert api.limiter.taken == []
    assert api.mongo.reads == 0


async def test_a_public_page_may_call_an_api_on_a_private_network(api: FakeApi) -> None:
    asked = PREFLIGHT | {"Access-Control-Request-Private-Network": "true"}
    answer = await api.client.options(URL, headers=asked)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Private-Network"] == "true"


async def test_a_page_can_read_responses_errors_and_their_headers(api: FakeApi) -> None:
    origin = {"Origin": SHOP}
    for answer, status in (
        (await api.client.get(URL, headers=api.token() | origin), 404),
        (await api.client.get(URL, headers=origin), 401),
        (await api.client.post(URL, content=b" " * 70_000, headers=origin), 413),
    ):
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == SHOP
        assert "Origin" in answer.headers["Vary"]
        shown = answer.headers["Access-Control-Expose-Headers"]
        for name in (
            "ETag",
            "Idempotency-Key",
            "Idempotent-Replayed",
            "Link",
            "Location",
            "Preference-Applied",
            "RateLimit-Remaining",
            "Retry-After",
        ):
            assert name in shown


async def test_a_page_of_another_origin_cannot_read_responses(api: FakeApi) -> None:
    headers = api.token() | {"Origin": "https://evil.example.com"}
    answer = await api.client.get(URL, headers=headers)
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        ("*", ("*",)),
        (f"{SHOP}, http://localhost:3000", (SHOP, "http://localhost:3000")),
    ],
)
def test_the_setting_takes_a_list_of_origins(text: str, origins: Any) -> None:
    assert Settings(cors_origins=text).cors_origins == origins


@pytest.mark.parametrize(
    "text", ["shop.example.com", f"{SHOP}/", f"{SHOP}/cart", "ftp://a", "null"]
)
def test_an_invalid_origin_is_refused_at_start(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        Settings(cors_origins=text)
