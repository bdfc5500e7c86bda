"""Entity tags as clients and proxies send them, and headers that come in several lines.

RFC 9110: 5.3 (lines of a list are one list), 8.8.3 (commas may stand in tags), 13.1.1 (`If-Match`
compares strongly: a weak tag never matches), 13.1.2 (`If-None-Match` compares weakly). A proxy that
compresses changes tags: Apache adds `-gzip`, others `;gzip`, `--br`; nginx marks them as weak.
"""

import pytest

from tests.fakes.api import URL
from tests.http.conftest import Served

TAG = "3-507f1f77bcf86cd799439013"
SUFFIXES = ["-gzip", "--gzip", ";gzip", ":gzip", "+gzip", "-br", ";br", "-zstd", "-GZIP", "-df", ""]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([f'"{TAG}"'], 304),
        ([f'W/"{TAG}"'], 304),
        ([f'W/"{TAG}-gzip"'], 304),
        ([f'"{TAG};gzip"'], 304),
        ([f'"{TAG}--gzip"'], 304),
        ([f'"{TAG}-br"'], 304),
        ([f'"{TAG}-zstd"'], 304),
        (['"other"', f'"{TAG}"'], 304),
        ([f'"a, b", W/"{TAG}"'], 304),
        ([f'"other","{TAG}"'], 304),
        ([f',, "other",, "{TAG}",'], 304),
        (["*"], 304),
        ([f'"a, {TAG}, b"'], 200),
        ([f'"{TAG}-other"'], 200),
        (['"2-507f1f77bcf86cd799439013"'], 200),
        (['"other"', 'W/"another"'], 200),
        ([""], 200),
        ([], 200),
    ],
)
async def test_if_none_match(served: Served, lines: list[str], status: int) -> None:
    headers = [f"If-None-Match: {line}" for line in lines]
    reply = await served.ask(served.request("GET", URL, *headers))
    assert reply.status == status
    assert reply.header("etag") == f'"{TAG}"'
    assert reply.header("cache-control") == "private, no-store"


@pytest.mark.parametrize(
    ("lines", "tags"),
    [
        ([f'"{TAG}"'], (TAG,)),
        ([f'"{TAG}-gzip"'], (TAG,)),
        ([f'"{TAG};gzip"', '"other"'], (TAG, "other")),
        ([f'"a,b", "{TAG}--br"'], ("a,b", TAG)),
        ([f'"{TAG}-0a1b2c3d-gzip"'], (TAG,)),
        (["*"], ("*",)),
        ([f'W/"{TAG}"'], ()),
        ([f'W/"{TAG}"', f'"{TAG}"'], (TAG,)),
        ([""], ()),
        ([], None),
    ],
)
async def test_if_match(served: Served, lines: list[str], tags: tuple[str, ...] | None) -> None:
    """An empty list is a condition that nothing fulfils: a client that lost its tag gets 412."""
    headers = [f"If-Match: {line}" for line in lines]
    await served.ask(served.add(*headers))
    [started] = served.api.gateway.started
    assert started.if_match == tags


@pytest.mark.parametrize(
    ("lines", "tags"),
    [
        (["*"], ("*",)),
        ([f'W/"{TAG}-gzip"', '"other"'], (TAG, "other")),
        ([f'"{TAG}-0a1b2c3d"'], (TAG,)),
        ([""], ()),
        ([], None),
    ],
)
async def test_if_none_match_of_a_change(
    served: Served, lines: list[str], tags: tuple[str, ...] | None
) -> None:
    """Compared weakly (13.1.2); a change whose condition is false must not happen."""
    headers = [f"If-None-Match: {line}" for line in lines]
    await served.ask(served.add(*headers))
    [started] = served.api.gateway.started
    assert started.if_none_match == tags


async def test_the_same_idempotency_key_twice_is_one_and_two_keys_are_refused(
    served: Served,
) -> None:
    for second, status in (("one", 201), ("two", 400)):
        keys = ("Idempotency-Key: one", f"idempotency-key: {second}")
        reply = await served.ask(served.add(*keys))
        assert reply.status == status
    assert reply.json["details"][0]["field"] == "idempotencyKey"


async def test_carts_are_stored_by_no_cache(served: Served) -> None:
    for request in (served.request(), served.add(), served.request(token=False)):
        reply = await served.ask(request)
        assert reply.header("cache-control") == "private, no-store"
