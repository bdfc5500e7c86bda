"""Query parameters: an unknown or repeated one is an error that is named.

A misspelt filter that is ignored returns the carts of strangers. `/health`, `/metrics` and `/docs`
take anything: balancers and browsers add parameters against caches to them.
"""

import pytest

from tests.fakes.api import ITEM, STORE, URL, FakeApi

CARTS = f"/api/v1/cart/{STORE}/admin/carts"
CART = "/api/v1/cart/507f1f77bcf86cd799439013"


def fields(answer: object) -> dict[str, str]:
    body = answer.json()  # type: ignore[attr-defined]
    return {row["field"]: row["message"] for row in body["details"]}


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", URL),
        ("HEAD", URL),
        ("POST", URL),
        ("DELETE", URL),
        ("GET", CART),
        ("PUT", CART),
        ("DELETE", CART),
        ("DELETE", f"{CART}/items/p"),
        ("GET", CARTS),
        ("GET", f"/api/v1/cart/{STORE}/operations/{'0' * 32}"),
        ("POST", "/admin/log-level"),
    ],
)
async def test_each_route_names_unknown_parameters(method: str, url: str) -> None:
    api = FakeApi()
    answer = await api.client.request(
        method, f"{url}?colour=red&_=1&colour=blue", json=ITEM, headers=api.token(role="admin")
    )
    assert answer.status_code == 400
    if method != "HEAD":
        assert fields(answer) == dict.fromkeys(("colour", "_"), "Unknown query parameter")
    assert api.gateway.started == []
    assert api.mongo.reads == 0


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("userid=u", "userid"),
        ("pageSize=1", "pageSize"),
        ("PAGE=1", "PAGE"),
        ("page=1&page=2", "page"),
        ("page=1&page=1", "page"),
        ("userId=a&userId=b", "userId"),
        ("userId[]=a", "userId[]"),
        ("page=1.0", "page"),
        ("page=%2B1", "page"),
        ("page=+1", "page"),
        ("limit=1_0", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=", "limit"),
        ("%75serid=u", "userid"),
        ("=1", ""),
        (f"{'a' * 100}=1", "a" * 64),
    ],
)
async def test_filters_that_are_misspelt_or_repeated(query: str, named: str) -> None:
    api = FakeApi()
    answer = await api.get(f"{CARTS}?{query}", role="admin")
    assert answer.status_code == 400
    assert list(fields(answer)) == [named]


async def test_filters_that_exist_are_used_and_no_query_is_no_error() -> None:
    api = FakeApi()
    for query in ("", "?", "?&&", "?page=1&limit=5&userId=ab", "?%70age=1"):
        assert (await api.get(f"{CARTS}{query}", role="admin")).status_code == 200


async def test_at_most_50_are_named() -> None:
    api = FakeApi()
    query = "&".join(f"p{number}=1" for number in range(500))
    assert len(fields(await api.get(f"{URL}?{query}"))) == 50


@pytest.mark.parametrize("url", ["/health", "/health/live", "/health/ready", "/metrics", "/docs"])
async def test_probes_may_have_any_query(url: str) -> None:
    assert (await FakeApi().client.get(f"{url}?_=1&_=2&cb=x")).status_code == 200
