"""A primary of MongoDB steps down, or dies, while shoppers add: no 500, and no add is lost.

As in every upgrade of a replica set (rs.stepDown(), and Atlas's maintenance). Drivers then get
`NotWritablePrimary` or `InterruptedDueToReplStateChange`, and for commits an unknown result:
https://www.mongodb.com/docs/manual/core/retryable-writes/ and
https://www.mongodb.com/docs/manual/core/transactions-in-applications/
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from dev.stack.ports import more_free_ports
from dev.stack.servers import mongodb_member
from dev.stack.stack import Stack
from dev.stack.supervisor import Supervisor
from settings import LOCALHOST, load_settings
from tests.conftest import settings_of_its_own
from tests.support.shop import Buyer, Shop, world_of
from tests.support.waiting import eventually

SHOPPERS = 4
SECONDS = 8.0
TRIES = 40
_NOT_YET = {202, 409, 503}
_DONE = {200, 201}


@dataclass
class ReplicaSet:
    """Three members on this machine."""

    ports: list[int]
    members: Supervisor

    @property
    def uri(self) -> str:
        hosts = ",".join(f"{LOCALHOST}:{port}" for port in self.ports)
        return f"mongodb://{hosts}/cart-service?replicaSet=three"

    async def primary(self) -> int:
        """The port of the primary; waits for one."""
        async with AsyncMongoClient[dict[str, Any]](self.uri) as client:
            return int((await client.admin.command("hello"))["primary"].rpartition(":")[2])

    async def step_down(self) -> None:
        """The primary gives up its role, and is not elected for a while."""
        url = f"mongodb://{LOCALHOST}:{await self.primary()}/?directConnection=true"
        async with AsyncMongoClient[dict[str, Any]](url) as client:
            await client.admin.command("replSetStepDown", 10, secondaryCatchUpPeriodSecs=5)

    async def kill_primary(self) -> None:
        """The primary ends without a word, and is started again."""
        self.members.process(f"mongodb-{await self.primary()}").kill()


@asynccontextmanager
async def replica_set(folder: Path) -> AsyncIterator[ReplicaSet]:
    ports = more_free_ports(3)
    specs = [mongodb_member(f"mongodb-{port}", port, folder, "three") for port in ports]
    members = Supervisor(specs, log_dir=folder / "logs", echo=print)
    await members.start()
    try:
        found = ReplicaSet(ports, members)
        config = {
            "_id": "three",
            "members": [
                {"_id": number, "host": f"{LOCALHOST}:{port}"} for number, port in enumerate(ports)
            ],
            "settings": {"electionTimeoutMillis": 2000},
        }
        url = f"mongodb://{LOCALHOST}:{ports[0]}/?directConnection=true"
        async with AsyncMongoClient[dict[str, Any]](url) as client:
            await client.admin.command("replSetInitiate", config)

        async def has_primary() -> None:
            try:
                await found.primary()
            except PyMongoError as error:
                raise AssertionError(str(error)) from error

        await eventually(has_primary, timeout=60)
        yield found
    finally:
        await members.stop()


@pytest.fixture(scope="module")
async def three(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[ReplicaSet, Shop]]:
    """A stack on a replica set of three, and a shop on it."""
    folder = tmp_path_factory.mktemp("step-down")
    async with replica_set(folder) as members:
        with settings_of_its_own(folder / "stack") as _, pytest.MonkeyPatch.context() as env:
            env.setenv("MONGODB_URI", members.uri)
            settings = load_settings()
            async with Stack(settings, echo=print), world_of(settings) as world:
                yield members, Shop(world)


async def added(buyer: Buyer, answers: Counter[int]) -> int:
    """Adds a unit, repeated with its key as clients do until it is done; the last status."""
    key = uuid4().hex
    status = 0
    for _ in range(TRIES):
        answer = await buyer.add("lamp", key=key)
        status = answer.status_code
        answers[status] += 1
        if status not in _NOT_YET:
            return status
        await asyncio.sleep(min(float(answer.headers.get("Retry-After", 1)), 1))
    return status


@pytest.mark.parametrize("change", ["step_down", "kill_primary"])
async def test_adds_survive_another_primary(three: tuple[ReplicaSet, Shop], change: str) -> None:
    members, shop = three
    shop = Shop(shop.world)
    await shop.stock("lamp", 1000)
    answers: Counter[int] = Counter()
    ending = asyncio.Event()
    done: dict[str, int] = {}

    async def adds(buyer: Buyer) -> None:
        while not ending.is_set():
            assert await added(buyer, answers) in _DONE
            done[buyer.user_id] = done.get(buyer.user_id, 0) + 1
            read = await buyer.get()
            assert read.status_code in {200, 503}
            if read.status_code == 200:
                assert read.json()["quantity"] == done[buyer.user_id]

    buyers = [shop.buyer() for _ in range(SHOPPERS)]
    before = await members.primary()
    async with asyncio.TaskGroup() as tasks:
        for buyer in buyers:
            tasks.create_task(adds(buyer))
        await asyncio.sleep(1)
        await getattr(members, change)()
        await asyncio.sleep(SECONDS)
        ending.set()
    assert await members.primary() != before or change == "kill_primary"
    assert set(answers) <= _DONE | _NOT_YET, answers
    for buyer in buyers:
        cart = await buyer.cart()
        assert cart is not None
        assert cart.quantity == done[buyer.user_id]
    assert min(done.values()) > 1

    async def consistent() -> None:
        await shop.assert_consistent()

    await eventually(consistent, timeout=30)
