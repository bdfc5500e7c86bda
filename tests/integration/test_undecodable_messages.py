"""Messages as other producers compress and damage them: each has its effect or is a dead letter.

`tests/kafka/test_undecodable.py` has what only the files of Apache Kafka can contain.
"""

import json
from base64 import b64decode
from collections.abc import Callable
from functools import partial

import pytest

from adapters.kafka.dead_letters import Letter, letters
from dev.stack.stack import Stack
from models.events import ORDER_COMPLETED
from tests.support.commands import cart
from tests.support.metrics import scrape_port
from tests.support.raw_batches import CODECS, LATIN_1, RawRecord, batch, produce, with_wrong_crc
from tests.support.shop import Buyer, Shop
from tests.support.waiting import eventually

WAIT_SECONDS = 10.0
UNDECODABLE: dict[str, Callable[[bytes], tuple[bytes, str]]] = {
    "a header name in Latin-1": lambda order: (
        batch(RawRecord(order, b"key", LATIN_1)),
        "the name of a header is not UTF-8",
    ),
    "150 MB behind gzip": lambda order: (
        batch(RawRecord(bytes(150_000_000)), RawRecord(order), codec="gzip"),
        "offsets",
    ),
    "a wrong checksum": lambda order: (
        with_wrong_crc(batch(RawRecord(order))),
        "the checksum is wrong",
    ),
}


async def an_order(shop: Shop) -> tuple[Buyer, bytes]:
    """A buyer with an item, and the event of its order."""
    await shop.stock("headphones", 10)
    buyer = shop.buyer()
    body = {
        "cartId": (await buyer.add()).json()["_id"],
        "userId": buyer.user_id,
        "storeId": shop.store_id,
        "orderId": f"order-{buyer.user_id}",
    }
    return buyer, json.dumps(body).encode()


async def is_ordered(buyer: Buyer) -> None:
    assert await buyer.cart() is None


async def letter_of(stack: Stack, offset: int) -> Letter:
    """The dead letter of a message in partition 0."""
    found = await letters(stack.settings)
    [letter] = [
        one
        for one in found
        if (one.topic, one.partition, one.offset) == (ORDER_COMPLETED, 0, offset)
    ]
    return letter


async def sent(stack: Stack, data: bytes) -> int:
    """The offset of a batch in partition 0; skips the test if the broker refuses the batch."""
    try:
        return await produce(stack.settings.kafka_port, ORDER_COMPLETED, 0, data)
    except ValueError as refusal:
        pytest.skip(str(refusal))


async def parked(stack: Stack) -> float:
    """How many undecodable messages the stack's consumer has parked."""
    page = await scrape_port(stack.settings.consumer_metrics_port)
    return page("cart_event_consume_parked_total", topic=ORDER_COMPLETED, error="undecodable")


@pytest.mark.parametrize("codec", CODECS)
async def test_an_event_has_its_effect_however_it_is_compressed(
    shop: Shop, stack: Stack, codec: str
) -> None:
    buyer, order = await an_order(shop)
    await sent(stack, batch(RawRecord(order, b"key"), codec=codec))
    await eventually(partial(is_ordered, buyer), timeout=WAIT_SECONDS)


@pytest.mark.parametrize("name", UNDECODABLE)
async def test_what_cannot_be_decoded_is_a_dead_letter_and_the_next_event_has_its_effect(
    shop: Shop, stack: Stack, name: str
) -> None:
    _, never = await an_order(shop)
    buyer, order = await an_order(shop)
    data, detail = UNDECODABLE[name](never)
    before = await parked(stack)
    bad = await sent(stack, data)
    await sent(stack, batch(RawRecord(order)))
    await eventually(partial(is_ordered, buyer), timeout=WAIT_SECONDS)
    letter = await eventually(partial(letter_of, stack, bad))
    assert letter.error == "undecodable"
    assert detail in letter.detail

    async def reported() -> None:
        assert await parked(stack) > before
        log = (stack.local_dir / "logs/consumer.log").read_text().splitlines()
        ours = [line for line in log if line.startswith("{")]  # others are the SDK's
        # A broker that came back empty has had the same offset before.
        *_, line = [
            line
            for line in map(json.loads, ours)
            if line.get("event") == "dead_letter"
            and (line["topic"], line["partition"], line["offset"]) == (ORDER_COMPLETED, 0, bad)
        ]
        assert line["level"] == "warn"
        assert detail in line["message"]

    await eventually(reported)


async def test_an_event_with_a_latin_1_header_name_has_its_effect_once_it_is_replayed(
    shop: Shop, stack: Stack
) -> None:
    buyer, order = await an_order(shop)
    offset = await sent(stack, batch(RawRecord(order, b"key", LATIN_1), codec="gzip"))
    letter = await eventually(partial(letter_of, stack, offset))
    assert (letter.key, letter.value, letter.headers) == (b"key", order, (("caf\\xe9", b"x"),))
    ran = await cart("dlq", "replay", letter.id, "--json")
    assert (ran.code, ran.json["replayed"]) == (0, [letter.id]), ran.output
    await eventually(partial(is_ordered, buyer), timeout=WAIT_SECONDS)


async def test_a_batch_is_kept_as_it_was_and_cannot_be_replayed(shop: Shop, stack: Stack) -> None:
    records = [RawRecord(bytes(9_000_000)), RawRecord(bytes(9_000_000))]
    data = batch(*records, codec="gzip")
    offset = await sent(stack, data)
    letter = await eventually(partial(letter_of, stack, offset))
    assert f"offsets {offset} to {offset + 1}" in letter.detail
    tail = data[21:]  # the broker sets offset and epoch
    assert (letter.raw, letter.value[21:]) == ("batch", tail)
    shown = (await cart("dlq", "show", letter.id, "--json")).json
    assert b64decode(shown["value"])[21:].startswith(tail[:1000])
    ran = await cart("dlq", "replay", letter.id, "--json")
    assert (ran.json["replayed"], ran.json["undecodable"]) == ([], [letter.id])


async def test_an_event_without_key_and_value_is_a_dead_letter(shop: Shop, stack: Stack) -> None:
    offset = await sent(stack, batch(RawRecord(None, None)))
    letter = await eventually(partial(letter_of, stack, offset))
    assert (letter.error, letter.key, letter.value) == ("malformed", None, b"")
