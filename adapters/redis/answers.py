"""Redis pub/sub: the reply channel, which carries results to the processes that wait for them.

The worker publishes the result of an operation on the channel of the process that started it
(`AnswerInbox.channel`). Replies can be lost: a caller without one asks Temporal.

On `CHANGED` the worker publishes which cart has changed, for all processes with live streams. It is
a hint that can be lost or forged: who gets one reads the cart as usual.

After a failover a subscription can be open at a server that the worker no longer publishes to. So
the inbox also sends itself messages, each over a new connection, and subscribes again without one.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import orjson
import structlog
from pydantic import SecretStr, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from adapters.background import cancelled, repeat
from adapters.keyring import MAC_CHARACTERS, Keyring
from adapters.redis.checked import reject
from models.cart import CartKey
from models.outcomes import OperationResult, StoredAnswer
from models.saga import ReplyTo

logger = structlog.stdlib.get_logger(__name__)

RECONNECT_SECONDS = 0.5
CONNECT_SECONDS = 1.0
PING_SECONDS = 2.0
PROBE_EVERY_SECONDS = 5.0
PROBE_SECONDS = 1.0
"""How long a message of its own may take."""
_PROBE = b"probe"
CHANGED = "cart:changed"
_HINT_BYTES = 16

OnChange = Callable[[bytes], None]
"""Takes the hint of a cart that has changed."""


@dataclass(frozen=True, slots=True)
class ReplyMessage:
    """The bytes to publish on a channel."""

    channel: str
    payload: bytes


def reply_message(keyring: Keyring, reply_to: ReplyTo, result: OperationResult) -> ReplyMessage:
    """The reply: a signature, a line of JSON for the API, then the exact body for the client."""
    head = {
        "attemptId": reply_to.attempt_id,
        "result": result.model_dump(mode="json", exclude={"answer"}),
        "status": result.answer.status if result.answer else None,
    }
    body = (result.answer.body or "").encode() if result.answer else b""
    text = orjson.dumps(head) + b"\n" + body
    mac = keyring.sign(text, "reply", reply_to.channel)
    return ReplyMessage(reply_to.channel, mac + text)


def change_hint(key: CartKey) -> bytes:
    """What is published when a cart has changed: a hash, so that it names no user."""
    return hashlib.blake2b("/".join(key).encode(), digest_size=_HINT_BYTES).digest()


class AnswerInbox:
    """Receives this process's replies on one channel. Each caller awaits its own future.

    With `on_change` it also receives the hints on `CHANGED`.
    """

    def __init__(
        self, url: SecretStr, keyring: Keyring, *, on_change: OnChange | None = None
    ) -> None:
        self._on_change = on_change
        self._keyring = keyring
        self._url = url.get_secret_value()
        self._redis = self._client()
        self.channel = f"cart:answers:{uuid4().hex}"
        self._waiting: dict[str, asyncio.Future[OperationResult]] = {}
        self._listening = False
        self._listener: asyncio.Task[None] | None = None
        self._probe_arrived = asyncio.Event()

    def _client(self) -> Redis:
        return Redis.from_url(
            self._url,
            socket_connect_timeout=CONNECT_SECONDS,
            health_check_interval=0,  # it is `_listen` that pings, and minds the answer
        )

    @property
    def is_listening(self) -> bool:
        """Whether the channel is subscribed to."""
        return self._listening

    def open(self) -> None:
        """Starts listening, until `close`. Subscribes again after an outage."""
        self._listener = asyncio.create_task(
            repeat("reply channel", self._listen, every_seconds=RECONNECT_SECONDS)
        )

    async def close(self) -> None:
        if self._listener is not None:
            await cancelled(self._listener)
        await self._redis.aclose()

    def expect(self, attempt_id: str) -> asyncio.Future[OperationResult]:
        """The future of a reply. Call it before the operation starts."""
        future: asyncio.Future[OperationResult] = asyncio.get_running_loop().create_future()
        self._waiting[attempt_id] = future
        return future

    def forget(self, attempt_id: str) -> None:
        """Stops waiting for a reply."""
        future = self._waiting.pop(attempt_id, None)
        if future is not None:
            future.cancel()

    async def _listen(self) -> None:
        """Receives until the connection fails, or nothing arrives."""
        probing: asyncio.Task[None] | None = None
        try:
            async with self._redis.pubsub() as subscription:
                channels = [self.channel, *([CHANGED] if self._on_change else [])]
                await subscription.subscribe(*channels)
                probing = asyncio.create_task(self._probe())
                awaits_pong = False
                while True:
                    if probing.done():
                        probing.result()
                    message = await subscription.get_message(timeout=PING_SECONDS)
                    if message is None:
                        # A dead link has no error: no answer to a ping is its only sign.
                        if awaits_pong:
                            raise TimeoutError("no answer to a ping")
                        await subscription.ping()
                    elif message["type"] == "message":
                        self._deliver(message["channel"], message["data"])
                    awaits_pong = message is None
                    self._listening |= message is not None
        except (RedisError, OSError, TimeoutError, RuntimeError) as error:
            if self._listening:
                logger.warning(
                    "reply_channel_down",
                    message="Reply channel is down; falling back to Temporal",
                    reason=repr(error),
                )
        finally:
            self._listening = False
            if probing is not None:
                await cancelled(probing)

    async def _probe(self) -> None:
        """Publishes to the channel from time to time, as the worker does.

        Raises `TimeoutError` when a message does not arrive. Where it cannot be published, nothing
        is known.
        """
        while True:
            await asyncio.sleep(PROBE_EVERY_SECONDS)
            self._probe_arrived.clear()
            try:
                async with asyncio.timeout(CONNECT_SECONDS), self._client() as redis:
                    await redis.publish(self.channel, _PROBE)
            except (RedisError, OSError, TimeoutError, RuntimeError):
                continue
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await self._probe_arrived.wait()
            except TimeoutError:
                raise TimeoutError("what is published does not arrive") from None

    def _deliver(self, channel: bytes, payload: bytes) -> None:
        if channel != CHANGED.encode():
            self._receive(payload)
        elif self._on_change is not None:
            self._on_change(payload)

    def _receive(self, payload: bytes) -> None:
        if payload == _PROBE:
            self._probe_arrived.set()
            return
        mac, text = payload[:MAC_CHARACTERS], payload[MAC_CHARACTERS:]
        if not self._keyring.is_signed(text, mac, "reply", self.channel):
            reject("reply")  # the caller asks Temporal
            return
        head, _, body = text.partition(b"\n")
        try:
            fields = orjson.loads(head)
            result = OperationResult.model_validate(fields["result"], strict=False)
            if fields["status"]:
                answer = StoredAnswer(status=fields["status"], body=body.decode())
                result = result.model_copy(update={"answer": answer})
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            logger.warning("reply_unreadable", message="Could not read a reply", reason=repr(error))
            return
        future = self._waiting.pop(str(fields.get("attemptId")), None)
        if future is not None and not future.done():
            future.set_result(result)
