"""`cart rebuild-cache`: every stored cart is cached, and an outage says that it can be repeated."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.mongo.carts import CartStore
from cli import rebuild_cache
from models.cart import CartKey
from models.documents import Cart
from models.errors import DependencyUnavailable
from tests.fakes.api import cart_of
from tests.unit.cli_standin import clear_environment, run


class FakeServers:
    """Carts of two stores in MongoDB, and what Redis has got."""

    def __init__(self) -> None:
        self.carts = [
            cart_of(store_id=store, user_id=f"user-{number}", version=number)
            for store in ("store-1", "store-2")
            for number in (1, 2, 3)
        ]
        self.cached: dict[CartKey, tuple[int, bytes]] = {}
        self.down = False
        self.closed = 0
        self.audited: list[dict[str, Any]] = []

    async def stores(self) -> AsyncIterator[str]:
        for store in ("store-1", "store-2"):
            yield store

    async def pages(self, store: str, *, size: int) -> AsyncIterator[list[Cart]]:
        assert size
        carts = [cart for cart in self.carts if cart.store_id == store]
        for first in range(0, len(carts), 2):
            yield carts[first : first + 2]

    async def put(self, key: CartKey, *, version: int, body: bytes) -> None:
        if self.down:
            raise DependencyUnavailable("redis", "Connection refused")
        self.cached[key] = version, body

    async def close(self) -> None:
        self.closed += 1

    def audit(self, _: Any, command: str, **line: Any) -> None:
        self.audited.append({"command": command, **line})


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> FakeServers:
    clear_environment(monkeypatch, CART_CACHE_TTL=600)
    servers = FakeServers()

    async def connect(*_: Any, **__: Any) -> FakeServers:
        return servers

    monkeypatch.setattr(CartStore, "connect", connect)
    for name in ("RedisPool", "CartCache", "CartBooks"):
        monkeypatch.setattr(rebuild_cache, name, lambda *_, **__: servers)
    monkeypatch.setattr(rebuild_cache, "audited_now", servers.audit)
    return servers


def test_every_cart_is_cached_in_its_version_as_clients_see_it(
    servers: FakeServers, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run(capsys, "rebuild-cache", "--by", "grace")
    assert (ran.code, ran.out.strip()) == (0, "6 carts cached for 600 s")
    assert set(servers.cached) == {cart.key for cart in servers.carts}
    for key, (version, body) in servers.cached.items():
        assert key.user_id == f"user-{version}"
        assert b"secret@example.com" not in body
    [line] = servers.audited
    assert (line["by"], line["count"], line["storeId"]) == ("grace", 6, None)


def test_only_the_carts_of_a_store_are_cached(
    servers: FakeServers, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "rebuild-cache", "--store", "store-2", "--json").json == {"cached": 3}
    assert {key.store_id for key in servers.cached} == {"store-2"}


def test_a_redis_that_is_away_is_named(
    servers: FakeServers, capsys: pytest.CaptureFixture[str]
) -> None:
    servers.down = True
    ran = run(capsys, "rebuild-cache")
    assert (ran.code, ran.out) == (1, "")
    assert "redis is unavailable: connection refused; it is safe to run this again" in ran.err
    assert (servers.audited, servers.closed) == ([], 2)
