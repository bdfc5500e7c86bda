"""The inbox of replies listens again, however its connection to Redis was lost."""

from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

import pytest
from pydantic import SecretStr

from adapters.redis.answers import AnswerInbox, reply_message
from adapters.redis.cart_cache import CartCache
from adapters.redis.pool import RedisPool
from dev.stack.ports import more_free_ports
from models.outcomes import OperationResult, Outcome
from models.saga import ReplyTo
from settings import LOCALHOST
from tests.faults.proxy import Mode, Proxy
from tests.support.keys import KEYRING
from tests.support.shop import World
from tests.support.waiting import eventually


@pytest.fixture
async def link(world: World) -> AsyncIterator[Proxy]:
    [port] = more_free_ports(1)
    async with Proxy("inbox-redis", port, world.settings.redis_port) as proxy:
        yield proxy


@pytest.fixture
async def inbox(link: Proxy) -> AsyncIterator[AnswerInbox]:
    inbox = AnswerInbox(SecretStr(f"redis://{LOCALHOST}:{link.port}"), KEYRING)
    yield inbox
    await inbox.close()


async def listens(inbox: AnswerInbox) -> None:
    assert inbox.is_listening


async def is_deaf(inbox: AnswerInbox) -> None:
    assert not inbox.is_listening


async def receives_a_reply(world: World, inbox: AnswerInbox) -> None:
    redis = RedisPool(world.settings.redis)
    try:
        reply = inbox.expect("attempt")
        result = OperationResult(
            outcome=Outcome.UNCHANGED,
            operation="AddItem",
            operation_id="1",
            record_id="1",
            saga_id="1",
        )
        reply_to = ReplyTo(channel=inbox.channel, attempt_id="attempt")
        await CartCache(redis, KEYRING, ttl_seconds=1).announce(
            reply_message(KEYRING, reply_to, result)
        )
        assert (await reply).operation_id == "1"
    finally:
        await redis.close()


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.RESET, Mode.SWALLOW, Mode.STALL])
async def test_a_lost_link_is_noticed_and_a_new_one_serves(
    world: World, link: Proxy, inbox: AnswerInbox, mode: Mode
) -> None:
    """Also a link that is open and silent: its only sign is a ping without an answer."""
    inbox.open()
    await eventually(lambda: listens(inbox))
    async with link.broken(mode):
        await eventually(lambda: is_deaf(inbox))
    await eventually(lambda: listens(inbox))
    await receives_a_reply(world, inbox)


async def test_an_unforeseen_error_does_not_end_the_listening(
    world: World, inbox: AnswerInbox
) -> None:
    failed = []

    def fail(*_: Any, **__: Any) -> Any:
        failed.append(True)
        raise LookupError("unforeseen")

    with patch.object(inbox._redis, "pubsub", fail):
        inbox.open()
        await eventually(lambda: _has(failed))
    await eventually(lambda: listens(inbox))
    await receives_a_reply(world, inbox)


async def _has(failed: list[bool]) -> None:
    assert failed
