"""`cart ops` and `cart dlq` while one server is away: what is shown, and what is said of the rest.

Instead of ending a server, the command is pointed at a port where nothing listens, or where
connections are accepted and never answered.
"""

import asyncio
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.commands import Ran, cart
from tests.support.shop import Shop

BY = ("--by", "alice", "--reason", "for a test")
PORTS = {
    "temporal": "TEMPORAL_PORT",
    "mongodb": "MONGODB_PORT",
    "redis": "REDIS_PORT",
    "kafka": "KAFKA_PORT",
    "inventory": "INVENTORY_PORT",
}
NAMES = {
    "temporal": "Temporal",
    "mongodb": "MongoDB",
    "redis": "Redis",
    "kafka": "Kafka",
    "inventory": "the inventory",
}
PROBLEM, INCOMPLETE = 1, 7
SECONDS = 60  # far more than a server has; the start of a process is slow on a busy machine
AT_ONCE = 2

# Of each command: the servers without which it does nothing, and those that it can do without.
COMMANDS: dict[str, tuple[set[str], set[str]]] = {
    "list --store {store} --outcome committed": ({"temporal"}, set()),
    "list --store {store}": ({"temporal"}, {"mongodb"}),
    "list --attention": ({"temporal"}, {"mongodb"}),
    "stuck": (set(), {"temporal", "mongodb"}),
    "pending": (set(), {"temporal", "mongodb"}),
    "pending --store {store}": ({"mongodb"}, set()),
    "show {store}/{user}": (set(), {"temporal", "mongodb", "inventory"}),
    "show {run}": ({"temporal"}, {"mongodb", "inventory"}),
    "wait {store}/{user}": ({"temporal"}, set()),
    "abort {store}/{user} --by alice --reason test": ({"temporal"}, set()),
    "ack {stopped} --by alice --reason test": ({"temporal", "mongodb"}, set()),
    "retry event/1": ({"temporal"}, set()),
    "skip nothing --reason test": ({"mongodb"}, set()),
    "hold-intake --store {store} --reason test --by alice": ({"mongodb"}, set()),
    "release-intake --store {store} --by alice": ({"mongodb"}, set()),
    "dlq list": ({"kafka"}, set()),
    "dlq show 0-0": ({"kafka"}, set()),
}


@pytest.fixture(scope="module")
def silent_port() -> Iterator[int]:
    """A port that accepts connections and answers nothing, like a server that was stopped."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=512)) as server:
        yield server.getsockname()[1]


@pytest.fixture
async def names(shop: Shop) -> dict[str, str]:
    """What the commands name: a cart with a change, and a run that was terminated."""
    await shop.stock("headphones", 5)
    buyer, stopped = shop.buyer(), shop.buyer()
    await buyer.add(quantity=2)
    await shop.fault("reserve", "delay", seconds=3)
    adding = asyncio.create_task(stopped.add())
    handle = shop.world.temporal.get_workflow_handle(stopped.workflow_id)
    while not adding.done():
        try:
            await handle.terminate(reason="for a test")
            break
        except Exception:  # it has not started yet
            await asyncio.sleep(0.05)
    adding.cancel()
    await cart("ops", "wait", "-")  # the first one imports all modules
    [record] = [one for one in await shop.records() if one.user_id == buyer.user_id]
    return {
        "store": shop.store_id,
        "user": buyer.user_id,
        "run": record.run_id,
        "stopped": f"{shop.store_id}/{stopped.user_id}",
    }


@pytest.mark.parametrize("how", ["refuses", "is silent"])
@pytest.mark.parametrize("server", PORTS)
async def test_each_command_shows_what_it_can_ask_and_says_what_it_could_not(
    names: dict[str, str], silent_port: int, server: str, how: str
) -> None:
    port = "1" if how == "refuses" else str(silent_port)
    away: dict[str, Any] = {PORTS[server]: port}
    at_once = asyncio.Semaphore(AT_ONCE)

    async def run(command: str) -> tuple[str, Ran]:
        words = command.format(**names).split()
        words = words if words[0] == "dlq" else ["ops", *words]
        async with at_once:
            return command, await cart(*words, timeout=SECONDS, **away)

    ran = await asyncio.gather(*map(run, COMMANDS))
    for command, ended in ran:
        needed, asked = COMMANDS[command]
        said = f"cart ops {command}: {ended.code}\n{ended.output}"
        assert_readable(ended, said)
        if server in needed:
            assert ended.code == PROBLEM, said
            assert ended.output.count("\n") == 1, said
            assert f"{NAMES[server]} does not answer (" in ended.output, said
        elif server in asked:
            assert ended.code == INCOMPLETE, said
            [line] = not_asked(ended)
            assert NAMES[server] in line, said
        else:
            assert NAMES[server] not in " ".join(not_asked(ended)), said


def not_asked(ended: Ran) -> list[str]:
    """The lines about servers that do not answer; on a busy machine others may be slow too."""
    lines = ended.output.splitlines()
    return [one for one in lines if one.startswith("Incomplete: ") or "does not answer (" in one]


def assert_readable(ended: Ran, said: str) -> None:
    for dump in ("Traceback", "Topology", "tonic", "configured timeouts", "Errno", "exceeds size"):
        assert dump not in ended.output, said
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", ended.output), said


async def test_a_cart_is_shown_without_temporal_and_without_mongodb(
    names: dict[str, str],
) -> None:
    async def shown(**away: Any) -> Any:
        ended = await cart("ops", "show", f"{names['store']}/{names['user']}", "--json", **away)
        assert ended.code == INCOMPLETE, ended.output
        return ended.json

    by_records = await shown(TEMPORAL_PORT="1")
    assert by_records["unasked"] == {"temporal": "connection refused"}
    [line] = by_records["lines"]
    assert (line["productId"], line["before"], line["after"]) == ("headphones", 0, 2)
    assert by_records["cart"]["lines"] == by_records["holds"] == {"headphones": 2}
    assert [change["what"] for change in by_records["latest"]] == ["headphones 0 -> 2"]

    by_runs = await shown(MONGODB_PORT="1")
    assert by_runs["unasked"] == {"mongodb": "connection refused"}
    assert by_runs["outcome"] == "committed"
    assert (by_runs["cart"], by_runs["recorded"]) == (None, None)
    assert "reserve_inventory" in [step["what"] for step in by_runs["steps"]]
