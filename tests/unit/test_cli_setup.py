"""`cart setup` says what it made, or which server it could not use."""

from collections.abc import Callable

import pytest
from aiokafka.errors import KafkaError
from temporalio.service import RPCError, RPCStatusCode

import cli.setup
from cli.doctor import checks
from cli.doctor.results import CheckResult, Status
from models.events import TOPICS
from settings import Settings
from tests.unit.cli_standin import clear_environment, run
from workflows.ids import SEARCH_ATTRIBUTES

SetUp = Callable[[Exception | None], None]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> SetUp:
    """Servers that can be used; the set-up itself raises what the test says."""
    clear_environment(monkeypatch)

    def there(error: Exception | None) -> None:
        async def set_up(_: Settings) -> None:
            if error:
                raise error

        found = [CheckResult("MongoDB", Status.OK, "there")]
        monkeypatch.setattr(checks, "examine", lambda *_: found)
        monkeypatch.setattr(cli.setup, "set_up", set_up)

    return there


def test_setup_lists_what_exists_now(servers: SetUp, capsys: pytest.CaptureFixture[str]) -> None:
    servers(None)

    ended = run(capsys, "setup")

    assert (ended.code, ended.err) == (0, "")
    for name in (*TOPICS, *SEARCH_ATTRIBUTES, "storeId_1_userId_1", "one_commit_per_operation"):
        assert name in ended.out


def test_a_refusal_is_one_line(servers: SetUp, capsys: pytest.CaptureFixture[str]) -> None:
    servers(KafkaError("topic cart.dlq: PolicyViolationError"))

    ended = run(capsys, "setup")

    assert (ended.code, ended.out) == (1, "")
    assert "topic cart.dlq: PolicyViolationError" in ended.err
    assert ended.err.count("\n") == 1


def test_servers_that_do_not_answer_are_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clear_environment(monkeypatch)

    ended = run(capsys, "setup")

    assert (ended.code, ended.out) == (1, "")
    shown = sorted(line.split(":")[0] for line in ended.err.splitlines())
    assert shown == ["Kafka", "MongoDB", "Temporal"]
    assert ended.err.count("make run") == 3


async def test_a_new_namespace_is_waited_for() -> None:
    answers = [RPCError("unknown", RPCStatusCode.NOT_FOUND, b"")] * 2

    async def call() -> str:
        if answers:
            raise answers.pop()
        return "known"

    assert await cli.setup._once_heard_of(call, unknown=RPCStatusCode.NOT_FOUND) == "known"


async def test_a_refusal_of_temporal_is_not_retried() -> None:
    async def call() -> None:
        raise RPCError("no", RPCStatusCode.PERMISSION_DENIED, b"")

    with pytest.raises(RPCError, match="no"):
        await cli.setup._once_heard_of(call, unknown=RPCStatusCode.NOT_FOUND)


async def test_the_wait_for_temporal_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.setup, "NEWS_SECONDS", 0.0)

    async def call() -> None:
        raise RPCError("no such namespace", RPCStatusCode.NOT_FOUND, b"")

    with pytest.raises(RPCError, match="no such namespace"):
        await cli.setup._once_heard_of(call, unknown=RPCStatusCode.NOT_FOUND)
