"""Live carts: the open streams of this process, and what wakes them.

A stream is woken by a hint from Redis that its cart has changed (`adapters.redis.answers`). It then
reads the cart like any request, so a forged hint shows nothing wrong. Hints can be lost, so the
versions of all streams are also compared every `HEARTBEAT_SECONDS`, many in one query, and at every
tick in the first `CATCH_UP_SECONDS` after an outage of Redis.

A stream keeps what to do, not what to send: a slow reader gets the newest version only.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog

from adapters.background import repeating
from adapters.redis.answers import change_hint
from api.error_codes import ErrorCode
from api.errors import RETRY_AFTER, ApiError, problem
from models.cart import CartKey, CartVersion, etag
from models.errors import DependencyUnavailable
from telemetry.metrics import LIVE_REFUSED, LIVE_STREAMS

logger = structlog.stdlib.get_logger(__name__)

TICK_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
CATCH_UP_SECONDS = 10.0
"""How long after an outage of Redis hints can still be lost: workers reconnect on their own."""
MAX_SECONDS = 3600.0
"""How long a stream lasts at most, so that streams move to new processes."""
CARTS_OF_A_QUERY = 200
MAX_TAG = 64
NO_CART = "0"
"""The tag of a user without a cart."""

ReadVersions = Callable[[Collection[CartKey]], Awaitable[dict[CartKey, CartVersion]]]
"""Reads the current versions of carts (`adapters.mongo.carts.CartStore.versions`)."""


def tag_of(version: CartVersion | None) -> str:
    """The id of the event that shows a version; None is no cart."""
    return NO_CART if version is None else etag(*version)


@dataclass(eq=False, slots=True)
class LiveStream:
    """One open stream. `sent` is the tag that its client has.

    `changed`: the cart may be newer. `beats`: a heartbeat is due. `connected` is whether changes
    are noticed at once. `over`: the stream ends.
    """

    key: CartKey
    sent: str | None
    ends_at: float
    next_beat: float
    connected: bool
    changed: bool = True
    beats: bool = False
    over: bool = False
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._wake.set()

    def wake(self) -> None:
        self._wake.set()

    async def woken(self) -> None:
        """Waits until there is something to do."""
        await self._wake.wait()
        self._wake.clear()

    def end(self) -> None:
        self.over = True
        self.wake()


class LiveCarts:
    """The streams of this process. `is_connected` is whether hints arrive."""

    def __init__(
        self,
        versions: ReadVersions,
        *,
        is_connected: Callable[[], bool],
        per_user: int,
        most: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._versions = versions
        self._is_connected = is_connected
        self._per_user = per_user
        self._most = most
        self._clock = clock
        self._streams: set[LiveStream] = set()
        self._by_hint: dict[bytes, set[LiveStream]] = {}
        self._of_user: Counter[str] = Counter()
        self._hints_lost_until = 0.0
        self._draining = False

    def __len__(self) -> int:
        return len(self._streams)

    def following(self) -> AbstractAsyncContextManager[None]:
        """Sends heartbeats and compares versions while a block runs."""
        return repeating("live carts", self.tick, every_seconds=TICK_SECONDS)

    def check_room(self, user_id: str) -> None:
        """Raises `ApiError` when the user (429) or the process (503) has no room for a stream."""
        code = ErrorCode.TOO_MANY_STREAMS
        if self._of_user[user_id] >= self._per_user:
            LIVE_REFUSED.add(1, {"limit": "user"})
            message = f"Too many live carts are open: at most {self._per_user} for a user"
            status = HTTPStatus.TOO_MANY_REQUESTS
            limit = self._per_user
            raise ApiError(problem(status, message, code=code, limit=limit, headers=RETRY_AFTER))
        if self._draining or len(self._streams) >= self._most:
            LIVE_REFUSED.add(1, {"limit": "process"})
            message = "Too many live carts are open; get the cart from time to time instead"
            status = HTTPStatus.SERVICE_UNAVAILABLE
            raise ApiError(problem(status, message, code=code, headers=RETRY_AFTER))

    def open(self, key: CartKey, *, sent: str | None, expires_at: float) -> LiveStream:
        """A new stream, which ends when its user's token expires. The caller closes it."""
        now = self._clock()
        stream = LiveStream(
            key=key,
            sent=sent and sent[:MAX_TAG],
            ends_at=min(expires_at, now + MAX_SECONDS),
            next_beat=now + HEARTBEAT_SECONDS,
            connected=self._receives_hints(now),
            over=self._draining,
        )
        self._streams.add(stream)
        self._by_hint.setdefault(change_hint(key), set()).add(stream)
        self._of_user[key.user_id] += 1
        LIVE_STREAMS.set(len(self._streams))
        return stream

    def close(self, stream: LiveStream) -> None:
        """Forgets a stream."""
        self._streams.discard(stream)
        hint = change_hint(stream.key)
        self._by_hint[hint].discard(stream)
        if not self._by_hint[hint]:
            del self._by_hint[hint]
        self._of_user[stream.key.user_id] -= 1
        if not self._of_user[stream.key.user_id]:
            del self._of_user[stream.key.user_id]
        LIVE_STREAMS.set(len(self._streams))

    def end_all(self) -> None:
        """Ends all streams: the process stops, and clients connect to another one."""
        self._draining = True
        for stream in self._streams:
            stream.end()

    def note(self, hint: bytes) -> None:
        """A cart has changed."""
        for stream in self._by_hint.get(hint, ()):
            stream.changed = True
            stream.wake()

    async def tick(self) -> None:
        """Ends streams whose time is up, sends heartbeats, and wakes those with an old version."""
        now = self._clock()
        connected = self._receives_hints(now)
        due: list[LiveStream] = []
        for stream in self._streams:
            if now >= stream.ends_at:
                stream.end()
                continue
            if connected != stream.connected:
                stream.connected = connected
                stream.wake()
            if now >= stream.next_beat:
                stream.next_beat = now + HEARTBEAT_SECONDS
                stream.beats = True
                stream.wake()
                due.append(stream)
            elif stream.changed or (connected and now < self._hints_lost_until):
                # The cart could not be read, or a hint may have been lost.
                due.append(stream)
        await self._compare(due)

    def _receives_hints(self, now: float) -> bool:
        """Whether hints arrive. If not, hints can be lost until `CATCH_UP_SECONDS` from now."""
        connected = self._is_connected()
        if not connected:
            self._hints_lost_until = now + CATCH_UP_SECONDS
        return connected

    async def _compare(self, streams: list[LiveStream]) -> None:
        for first in range(0, len(streams), CARTS_OF_A_QUERY):
            page = streams[first : first + CARTS_OF_A_QUERY]
            try:
                versions = await self._versions({stream.key for stream in page})
            except DependencyUnavailable as error:  # compared again at the next heartbeat
                logger.debug("live_carts_not_compared", message=str(error))
                return
            _wake_older(page, versions)


def _wake_older(streams: Iterable[LiveStream], versions: dict[CartKey, CartVersion]) -> None:
    for stream in streams:
        if stream.changed or tag_of(versions.get(stream.key)) != stream.sent:
            stream.changed = True
            stream.wake()
