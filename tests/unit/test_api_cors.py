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
    assert preflight.status_code == 405
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
        {"Access-Control-Request-Headers": "x-anything"},
    ],
)
async def test_a_preflight_for_another_method_or_header_is_refused(
    api: FakeApi, changed: dict[str, str]
) -> None:
    answer = await api.client.options(URL, headers=PREFLIGHT | changed)
    assert answer.status_code == 400


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
        for name in ("ETag", "Location", "Retry-After", "RateLimit-Remaining", "Idempotency-Key"):
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
