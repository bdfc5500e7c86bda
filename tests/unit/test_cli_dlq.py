"""`cart dlq`: which letters are shown, replayed and dropped, and what is sent to Kafka."""

from dataclasses import replace
from typing import Any

import pytest

from adapters.kafka.dead_letters import Letter
from adapters.kafka.publisher import Outgoing
from cli import dlq
from models.errors import DependencyUnavailable
from models.events import DEAD_LETTERS
from models.incoming import MAX_EVENT_BYTES
from tests.fakes.letters import LETTER
from tests.unit.cli_standin import CommandResult, run


class FakeKafka:
    """Letters that were parked, and what was sent since."""

    def __init__(self) -> None:
        self.letters = [LETTER]
        self.sent: list[Outgoing] = []
        self.audited: list[dict[str, Any]] = []
        self.down = False

    async def ping(self, *_: Any, **__: Any) -> None:
        if self.down:
            raise DependencyUnavailable("kafka", "no broker answers")

    async def read(self, _: Any) -> list[Letter]:
        return self.letters

    async def send(self, messages: list[Outgoing]) -> None:
        self.sent += messages

    async def close(self) -> None:
        """Nothing is open."""

    def audit(self, _: Any, command: str, **line: Any) -> None:
        self.audited.append({"command": command, **line})


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    kafka = FakeKafka()
    for name, value in {
        "ping": kafka.ping,
        "letters": kafka.read,
        "EventPublisher": lambda _: kafka,
        "audited_now": kafka.audit,
    }.items():
        monkeypatch.setattr(dlq, name, value)
    return kafka


@pytest.fixture
def cart_dlq(kafka: FakeKafka, capsys: pytest.CaptureFixture[str]) -> Any:
    def ran(*words: str) -> CommandResult:
        return run(capsys, "dlq", *words)

    return ran


def test_open_letters_are_listed_and_counted(kafka: FakeKafka, cart_dlq: Any) -> None:
    kafka.letters += [
        replace(LETTER, id="0/8", topic="product.price.changed", error="invalid_json"),
        replace(LETTER, id="0/9", resolution="dropped", resolved_because="a test"),
    ]
    found = cart_dlq("list", "--json").json
    assert [one["id"] for one in found["letters"]] == ["0/7", "0/8"]
    assert found["counts"] == [
        {"topic": "order.completed", "error": "order_shortfall", "count": 1},
        {"topic": "product.price.changed", "error": "invalid_json", "count": 1},
    ]
    ran = cart_dlq("list", "--all", "--limit", "1")
    assert "order_shortfall (dropped)" in ran.out
    assert "3 letters, the latest 1 shown" in ran.out


@pytest.mark.parametrize(
    "filter_",
    [
        ("--topic", "order.completed"),
        ("--error", "order_shortfall"),
        ("--key", "cart-1"),
        ("--since", "2026-01-27T10:00:00Z"),
    ],
)
def test_each_filter_chooses_letters(
    filter_: tuple[str, str], kafka: FakeKafka, cart_dlq: Any
) -> None:
    kafka.letters.append(
        replace(
            LETTER,
            id="0/8",
            topic="product.price.changed",
            error="invalid_json",
            key=None,
            parked_at="2026-01-26T10:30:00.000Z",
        )
    )
    assert [one["id"] for one in cart_dlq("list", "--json", *filter_).json["letters"]] == ["0/7"]


def test_a_letter_is_shown_with_its_message(kafka: FakeKafka, cart_dlq: Any) -> None:
    shown = cart_dlq("show", "0/7", "--json").json
    assert (shown["value"], shown["headers"]) == ('{"orderId": "o"}', {"ce_id": "event-1"})
    kafka.letters = [replace(LETTER, raw="snappy", value=b"\xff\x00")]
    assert cart_dlq("show", "0/7", "--json").json["value"] == "/wA="


def test_a_replay_sends_the_message_unchanged_and_notes_it(kafka: FakeKafka, cart_dlq: Any) -> None:
    ran = cart_dlq("replay", "0/7", "--by", "grace")
    assert (ran.code, "1 replayed" in ran.out) == (0, True)
    message, note = kafka.sent
    assert (message.topic, message.key, message.value) == (LETTER.topic, LETTER.key, LETTER.value)
    # The time identifies an event without an id.
    assert (message.timestamp, message.headers) == (LETTER.timestamp, LETTER.headers)
    assert note.topic == DEAD_LETTERS
    [line] = kafka.audited
    assert (line["command"], line["by"], line["letters"]) == ("dlq_replay", "grace", ["0/7"])


def test_a_dry_run_sends_nothing(kafka: FakeKafka, cart_dlq: Any) -> None:
    ran = cart_dlq("replay", "--all", "--dry-run")
    assert "1 would be replayed" in ran.out
    assert (kafka.sent, kafka.audited) == ([], [])


def test_what_is_not_whole_is_not_replayed_and_is_named_with_its_place(
    kafka: FakeKafka, cart_dlq: Any
) -> None:
    kafka.letters = [
        replace(LETTER, size=MAX_EVENT_BYTES + 1),
        replace(LETTER, id="0/8", offset=42, raw="snappy"),
    ]
    ran = cart_dlq("replay", "--all")
    words = " ".join(ran.out.split())
    assert "0/7 is too large and not replayed; it is in order.completed/2 at offset 41" in words
    assert "0/8 is undecoded and not replayed; it is in order.completed/2 at offset 42" in words
    assert kafka.sent == []


def test_a_drop_notes_the_reason_and_sends_no_message(kafka: FakeKafka, cart_dlq: Any) -> None:
    ran = cart_dlq("drop", "--topic", "order.completed", "--reason", "refunded by hand")
    assert (ran.code, "1 dropped" in ran.out) == (0, True)
    assert [one.topic for one in kafka.sent] == [DEAD_LETTERS]
    assert kafka.audited[0]["reason"] == "refunded by hand"


def test_letters_that_were_resolved_are_left_alone(kafka: FakeKafka, cart_dlq: Any) -> None:
    kafka.letters = [replace(LETTER, resolution="replayed")]
    assert "0 replayed" in cart_dlq("replay", "0/7").out
    assert kafka.sent == []


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("replay",), "name letters by their ids or by a filter, or say --all"),
        (("replay", "0/99"), "no letter 0/99: see cart dlq list --all"),
        (("show", "0/99"), "no letter 0/99: see cart dlq list --all"),
    ],
)
def test_a_choice_that_cannot_be_used_ends_with_code_2(
    words: tuple[str, ...], error: str, kafka: FakeKafka, cart_dlq: Any
) -> None:
    ran = cart_dlq(*words)
    assert (ran.code, error in ran.err) == (2, True)
    assert kafka.sent == []


def test_a_broker_that_is_away_is_named(kafka: FakeKafka, cart_dlq: Any) -> None:
    kafka.down = True
    ran = cart_dlq("list")
    assert (ran.code, "Kafka does not answer" in ran.err) == (1, True)
