"""In the test: who answers the worker's questions, and what is armed.

A trap is armed for one cart and one moment (a method of an adapter and a point of its call). The
first run of that cart that gets there springs it: the test breaks something, or tells the worker
what to do, and only then does the worker's call go on.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from tests.faults.proxy import HOST

Point = Literal["before", "during", "after", "echoed", "failed"]
Reply = dict[str, Any]
"""What the worker's call does; {} goes on."""

GO: Reply = {}
DIE: Reply = {"do": "die"}


def error(dependency: str) -> Reply:
    """The call fails as if the dependency had not answered."""
    return {"do": "error", "dependency": dependency}


def delay(seconds: float) -> Reply:
    return {"do": "delay", "seconds": seconds}


def echo(seconds: float) -> Reply:
    """The call is made once more, so much later."""
    return {"do": "echo", "seconds": seconds}


# Whose answer is lost when a call is a bait.
_DEPENDENCIES = {"reserve": "inventory", "release": "inventory", "publish": "kafka"}


@dataclass(frozen=True)
class Place:
    """A point of an adapter's call."""

    method: str
    point: Point


@dataclass(frozen=True)
class Caller:
    """Whose call it is: a run of a workflow, in a worker's process."""

    workflow_id: str
    workflow_type: str
    run_id: str
    worker: str


@dataclass
class Trap:
    """What happens to the first run of `workflow_id` that reaches `place`, `times` times.

    `bait` leads a run there that would not come by itself: until the trap has sprung, the calls of
    `baited_id` (the same workflow, or the cart whose relay is meant) at those places fail.
    `cart_type` is the type of the cart's workflows that are meant, of those under one id; any if it
    is empty. `worker` is where it has sprung.
    """

    workflow_id: str
    place: Place
    spring: Callable[["Trap"], Awaitable[Reply]]
    times: int = 1
    bait: tuple[Place, ...] = ()
    baited_id: str = ""
    cart_type: str = ""
    run_id: str | None = None
    worker: str = ""
    baited: bool = False
    sprung: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.baited_id = self.baited_id or self.workflow_id

    def watches(self, caller: Caller, method: str) -> set[Point]:
        """The points of a call of this run at which something may happen."""
        if not self._concerns(caller):
            return set()
        return {place.point for place in (self.place, *self.bait) if place.method == method}

    def springs(self, caller: Caller, place: Place) -> bool:
        """Whether this is the moment."""
        here = place == self.place and caller.workflow_id == self.workflow_id
        return here and self.times > 0 and self._concerns(caller)

    def lures(self, caller: Caller, place: Place) -> bool:
        """Whether this call fails, so that the moment comes."""
        here = place in self.bait and caller.workflow_id == self.baited_id
        return here and not self.sprung.is_set() and self._concerns(caller)

    def _concerns(self, caller: Caller) -> bool:
        if caller.workflow_id == self.baited_id and self.cart_type not in {
            "",
            caller.workflow_type,
        }:
            return False
        return self.run_id in {None, caller.run_id} or caller.workflow_id != self.workflow_id


class Controller:
    """A server on this machine that the worker under test asks."""

    def __init__(self, port: int) -> None:
        self.address = f"{HOST}:{port}"
        self._port = port
        self._traps: dict[str, list[Trap]] = {}
        self.errors: list[Exception] = []  # of traps; the worker went on meanwhile
        self._unshown: dict[str, float] = {}  # workflow id -> when a change could not be shown
        self._server: asyncio.Server | None = None
        self._answering: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, self._port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    def arm(self, trap: Trap) -> Trap:
        for workflow_id in {trap.workflow_id, trap.baited_id}:
            self._traps.setdefault(workflow_id, []).append(trap)
        return trap

    def disarm(self, trap: Trap) -> None:
        """Nothing more happens by it; one that was used up is fine."""
        for workflow_id in {trap.workflow_id, trap.baited_id}:
            left = [armed for armed in self._traps.pop(workflow_id, ()) if armed is not trap]
            if left:
                self._traps[workflow_id] = left

    def unshown_at(self, workflow_id: str) -> float | None:
        """When a change of a cart could last not be written to the cache (`time.monotonic()`)."""
        return self._unshown.get(workflow_id)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                task = asyncio.create_task(self._answer(json.loads(line), writer))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
        except ConnectionError:
            pass  # the worker was killed
        finally:
            writer.close()

    async def _answer(self, question: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        place = Place(question["method"], question["when"])
        caller = Caller(
            question["workflowId"],
            question["workflowType"],
            question["runId"],
            question["worker"],
        )
        try:
            reply = await self._reply(caller, place)
        except Exception as error:
            self.errors.append(error)
            reply = GO
        writer.write(json.dumps({"id": question["id"], **reply}).encode() + b"\n")

    async def _reply(self, caller: Caller, place: Place) -> Reply:
        if place.point == "failed":
            self._unshown[caller.workflow_id] = time.monotonic()
        traps = list(self._traps.get(caller.workflow_id, ()))
        watched: set[Point] = set()
        for trap in traps:
            watched |= trap.watches(caller, place.method)
        reply: Reply = GO
        for trap in traps:
            if trap.springs(caller, place):
                trap.run_id, trap.worker = caller.run_id, caller.worker
                trap.times -= 1
                if trap.times == 0:
                    self.disarm(trap)
                reply = await trap.spring(trap)
                trap.sprung.set()
                break
            if trap.lures(caller, place):
                trap.baited = True
                if caller.workflow_id == trap.workflow_id:
                    trap.run_id = caller.run_id
                reply = error(_DEPENDENCIES.get(place.method, "mongodb"))
                break
        return {**reply, "watched": sorted(watched)}
