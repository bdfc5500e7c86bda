"""The reply channel: a caller gets its own result with the exact answer, and no forged one."""

import asyncio
import logging
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from adapters.keyring import Keyring
from adapters.redis.answers import CHANGED, AnswerInbox, change_hint, reply_message
from models.cart import CartKey
from models.outcomes import OperationResult, Outcome, StoredAnswer
from models.saga import ReplyTo
from tests.fakes.api import result_of
from tests.support.keys import KEYRING

BODY = '{"quantity":2,"totalPrice":159.90,"name":"Ada\\nLovelace"}'
ANSWERED = result_of(Outcome.COMMITTED, answer=StoredAnswer(status=201, body=BODY))


class Inbox:
    """An inbox that is not connected; messages are handed to it as its subscription would."""

    def __init__(self) -> None:
        self.hints: list[bytes] = []
        url = SecretStr("redis://127.0.0.1:1")
        self.inbox = AnswerInbox(url, KEYRING, on_change=self.hints.append)

    def arrives(self, payload: bytes, channel: str | None = None) -> None:
        self.inbox._deliver((channel or self.inbox.channel).encode(), payload)

    def reply(
        self,
        attempt_id: str,
        result: OperationResult = ANSWERED,
        *,
        keyring: Keyring = KEYRING,
        channel: str | None = None,
    ) -> bytes:
        reply_to = ReplyTo(channel=channel or self.inbox.channel, attempt_id=attempt_id)
        return reply_message(keyring, reply_to, result).payload


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


async def test_each_caller_gets_its_own_result_with_the_exact_answer(inbox: Inbox) -> None:
    first, second = inbox.inbox.expect("a-1"), inbox.inbox.expect("a-2")
    inbox.arrives(inbox.reply("a-2", result_of(Outcome.REJECTED)))
    inbox.arrives(inbox.reply("a-1"))
    assert (await first).answer == StoredAnswer(status=201, body=BODY)
    assert (await second).outcome is Outcome.REJECTED
    assert (await second).answer is None


async def test_a_reply_that_nobody_waits_for_is_dropped(inbox: Inbox) -> None:
    waiting = inbox.inbox.expect("a-1")
    inbox.inbox.forget("a-1")
    assert waiting.cancelled()
    inbox.arrives(inbox.reply("a-1"))
    inbox.inbox.forget("a-1")


async def test_a_repeated_reply_does_not_change_the_first(inbox: Inbox) -> None:
    waiting = inbox.inbox.expect("a-1")
    inbox.arrives(inbox.reply("a-1"))
    inbox.arrives(inbox.reply("a-1", result_of(Outcome.REJECTED)))
    assert (await waiting).outcome is Outcome.COMMITTED


async def test_a_reply_that_is_not_signed_for_this_channel_is_not_believed(inbox: Inbox) -> None:
    """The caller asks Temporal then."""
    waiting = inbox.inbox.expect("a-1")
    other = Keyring(["another-secret-that-is-long-enough-for-this"])
    good = inbox.reply("a-1")
    for forged in (
        inbox.reply("a-1", keyring=other),
        inbox.reply("a-1", channel="cart:answers:another"),
        good.replace(b"159.90", b"000.90"),
        good[:10],
        b"",
    ):
        inbox.arrives(forged)
    assert not waiting.done()
    inbox.arrives(good)
    assert waiting.done()


@pytest.mark.parametrize("head", [b"no JSON", b"{}", b'{"result":{},"status":200}', b"[]"])
async def test_a_signed_reply_of_another_form_is_left_out_with_a_warning(
    head: bytes, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    """As a newer version of the worker may send it."""
    waiting = inbox.inbox.expect("a-1")
    text = head + b"\n"
    mac = KEYRING.sign(text, "reply", inbox.inbox.channel)
    with caplog.at_level(logging.WARNING):
        inbox.arrives(mac + text)
    assert [line.__dict__["event"] for line in caplog.records] == ["reply_unreadable"]
    assert not waiting.done()


async def test_hints_of_changed_carts_are_passed_on_and_are_no_replies(inbox: Inbox) -> None:
    waiting = inbox.inbox.expect("a-1")
    hint = change_hint(CartKey("store-1", "ada"))
    inbox.arrives(hint, CHANGED)
    inbox.arrives(inbox.reply("a-1"), CHANGED)
    assert (inbox.hints[0], waiting.done()) == (hint, False)


async def test_a_reply_has_no_personal_data_outside_the_answer(inbox: Inbox) -> None:
    head = inbox.reply("a-1").partition(b"\n")[0]
    assert b"Lovelace" not in head
    fields: dict[str, Any] = orjson.loads(head[head.index(b"{") :])
    assert (fields["attemptId"], fields["status"]) == ("a-1", 201)


async def test_an_inbox_without_redis_is_not_listening_and_closes(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        inbox.inbox.open()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not inbox.inbox.is_listening
        await asyncio.wait_for(inbox.inbox.close(), 5)
    assert caplog.records == []  # it was never up, so it is not reported as down
