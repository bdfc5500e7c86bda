"""Redis pub/sub: the short cut by which an answer reaches the process that waits for it.

The worker announces how an operation ended on the channel of the API process that started it
(`AnswerInbox.channel`). It is never a guarantee: who has heard nothing asks Temporal.
"""

import asyncio
import logging
from dataclasses import dataclass
from uuid import uuid4

import orjson
from pydantic import SecretStr, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from models.messages import OperationResult, ReplyTo
from models.operation import Answer

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = 0.5
CONNECT_SECONDS = 1.0
HEALTH_CHECK_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Announcement:
    """Bytes for a channel."""

    channel: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Announced:
    """What a caller hears: how it ended and, when it committed, the answer for the client."""

    result: OperationResult
    answer: Answer | None = None


def announcement(reply_to: ReplyTo, result: OperationResult, answer: Answer | None) -> Announcement:
    """One line of JSON for us, then the body as it goes to the client."""
    head = {
        "attemptId": reply_to.attempt_id,
        "result": result.model_dump(mode="json"),
        "status": answer.status if answer else None,
    }
    body = answer.body.encode() if answer else b""
    return Announcement(reply_to.channel, orjson.dumps(head) + b"\n" + body)


class AnswerInbox:
    """Listens on one channel for this process; each caller waits for its own future."""

    def __init__(self, url: SecretStr) -> None:
        self._redis = Redis.from_url(
            url.get_secret_value(),
            socket_connect_timeout=CONNECT_SECONDS,
            health_check_interval=HEALTH_CHECK_SECONDS,
        )
        self.channel = f"cart:answers:{uuid4().hex}"
        self._waiting: dict[str, asyncio.Future[Announced]] = {}
        self._listening = False
        self._listener: asyncio.Task[None] | None = None

    @property
    def is_listening(self) -> bool:
        """Whether an answer can be heard now."""
        return self._listening

    def open(self) -> None:
        """Begins to listen, for as long as the process lives, through any outage."""
        self._listener = asyncio.create_task(self._listen())

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._redis.aclose()

    def expect(self, attempt_id: str) -> asyncio.Future[Announced]:
        """The future of an answer; call it before the operation is started."""
        future: asyncio.Future[Announced] = asyncio.get_running_loop().create_future()
        self._waiting[attempt_id] = future
        return future

    def forget(self, attempt_id: str) -> None:
        """Nobody waits any more."""
        future = self._waiting.pop(attempt_id, None)
        if future is not None:
            future.cancel()

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(self.channel)
                    while True:
                        message = await subscription.get_message(timeout=HEALTH_CHECK_SECONDS)
                        if message is None:
                            continue
                        self._listening = True
                        if message["type"] == "message":
                            self._hear(message["data"])
            except (RedisError, OSError, TimeoutError) as error:
                if self._listening:
                    logger.warning(
                        "Answers are not heard; they are asked for",
                        extra={"event": "answers_unheard", "reason": repr(error)},
                    )
                self._listening = False
            await asyncio.sleep(RECONNECT_SECONDS)

    def _hear(self, payload: bytes) -> None:
        head, _, body = payload.partition(b"\n")
        try:
            fields = orjson.loads(head)
            result = OperationResult.model_validate(fields["result"])
            answer = (
                Answer(status=fields["status"], body=body.decode()) if fields["status"] else None
            )
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            logger.warning("An answer could not be read: %r", error)
            return
        future = self._waiting.pop(str(fields.get("attemptId")), None)
        if future is not None and not future.done():
            future.set_result(Announced(result, answer))
