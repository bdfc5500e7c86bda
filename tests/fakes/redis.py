"""A Redis in memory with the commands that the service sends, and a pool of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from typing import Any

from models.errors import DependencyUnavailable


class FakeRedis:
    """Values by key, without their expiry; `ttls` has the last one of each key."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.ttls: dict[str, int | None] = {}
        self.published: list[tuple[str, bytes]] = []

    async def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    async def set(self, key: str, value: bytes | int, ex: int | None = None) -> None:
        self.values[key] = value if isinstance(value, bytes) else str(value).encode()
        self.ttls[key] = ex

    async def delete(self, key: str | bytes) -> None:
        self.values.pop(key.decode() if isinstance(key, bytes) else key, None)

    async def publish(self, channel: str, payload: bytes) -> None:
        self.published.append((channel, payload))

    async def scan(
        self, cursor: int = 0, match: str = "*", count: int = 10
    ) -> tuple[int, list[bytes]]:
        """Two keys a page, whatever `count` is: Redis, too, returns more or fewer."""
        assert count
        keys = sorted(self.values)
        page = [key.encode() for key in keys[cursor : cursor + 2] if fnmatchcase(key, match)]
        return (cursor + 2 if cursor + 2 < len(keys) else 0), page

    def pipeline(self, *, transaction: bool) -> "FakePipeline":
        assert not transaction  # its keys can be in several slots of a cluster
        return FakePipeline(self)


class FakePipeline:
    """Commands that are sent together."""

    def __init__(self, redis: FakeRedis) -> None:
        self._redis = redis
        self._commands: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def command(*words: Any, **options: Any) -> None:
            self._commands.append((name, words, options))

        return command

    async def execute(self) -> list[Any]:
        return [
            await getattr(self._redis, name)(*words, **options)
            for name, words, options in self._commands
        ]


class FakePool:
    """A pool of one Redis; with `down` it does not answer."""

    def __init__(self) -> None:
        self.redis = FakeRedis()
        self.down = False

    @asynccontextmanager
    async def client(self, *_: str) -> AsyncIterator[FakeRedis]:
        if self.down:
            raise DependencyUnavailable("redis", "down")
        yield self.redis
