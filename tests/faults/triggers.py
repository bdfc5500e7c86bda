"""In the test: the server that answers the call hooks, and the triggers that are armed.

A trigger is armed for one cart and one point of an adapter's call. It fires when the first run of
that cart reaches the point: the test breaks something, or instructs the process (fail the call,
delay it, die), and only then does the call continue.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from tests.faults.proxy import HOST

Point = Literal["before", "during", "after", "echoed"]
Instruction = dict[str, Any]
"""What the process does with the call; {} continues."""

CONTINUE: Instruction = {}
DIE: Instruction = {"do": "die"}


def error(dependency: str) -> Instruction:
    """Fails the call as if the dependency had not answered."""
    return {"do": "error", "dependency": dependency}


def unsent(dependency: str) -> Instruction:
    """Fails the call as if the circuit of the dependency was open."""
    return {"do": "unsent", "dependency": dependency}


def delay(seconds: float) -> Instruction:
    return {"do": "delay", "seconds": seconds}


def echo(seconds: float) -> Instruction:
    """Makes the call once more, `seconds` later."""
    return {"do": "echo", "seconds": seconds}


# The dependency that a failed call names.
_DEPENDENCIES = {"reserve": "inventory", "release": "inventory", "publish": "kafka"}


@dataclass(frozen=True)
class CallPoint:
    """A point of an adapter's call, by the name of the method."""

    method: str
    point: Point


@dataclass(frozen=True)
class Caller:
    """The workflow run that makes a call, and the worker process it runs in."""

    workflow_id: str
    workflow_type: str
    run_id: str
    worker: str


@dataclass
class Trigger:
    """Calls `fire` when the first run of `workflow_id` reaches `call_point`, up to `times` times.

    `setup_failures` bring a run to a point that it would not reach: until the trigger has fired,
    these calls of `setup_workflow_id` fail (the same workflow, or the cart whose relay is meant).
    `cart_type` limits the trigger to one workflow type, as sagas of a cart share one id; empty
    means any. `worker` is the process in which it fired.
    """

    workflow_id: str
    call_point: CallPoint
    fire: Callable[["Trigger"], Awaitable[Instruction]]
    times: int = 1
    setup_failures: tuple[CallPoint, ...] = ()
    setup_workflow_id: str = ""
    cart_type: str = ""
    run_id: str | None = None
    worker: str = ""
    setup_failed: bool = False
    fired: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.setup_workflow_id = self.setup_workflow_id or self.workflow_id

    def watched_points(self, caller: Caller, method: str) -> set[Point]:
        """The points of this run's call that the trigger needs to be asked about."""
        if not self._concerns(caller):
            return set()
        return {
            call_point.point
            for call_point in (self.call_point, *self.setup_failures)
            if call_point.method == method
        }

    def fires_at(self, caller: Caller, call_point: CallPoint) -> bool:
        """Whether the trigger fires here."""
        here = call_point == self.call_point and caller.workflow_id == self.workflow_id
        return here and self.times > 0 and self._concerns(caller)

    def fails_to_set_up(self, caller: Caller, call_point: CallPoint) -> bool:
        """Whether this call is one of `setup_failures`."""
        here = call_point in self.setup_failures and caller.workflow_id == self.setup_workflow_id
        return here and not self.fired.is_set() and self._concerns(caller)

    def _concerns(self, caller: Caller) -> bool:
        if caller.workflow_id == self.setup_workflow_id and self.cart_type not in {
            "",
            caller.workflow_type,
        }:
            return False
        return self.run_id in {None, caller.run_id} or caller.workflow_id != self.workflow_id


class TriggerServer:
    """A server on this machine that the processes under test ask at each call."""

    def __init__(self, port: int) -> None:
        self.address = f"{HOST}:{port}"
        self._port = port
        self._triggers: dict[str, list[Trigger]] = {}
        self.errors: list[Exception] = []  # raised by triggers; the process continued
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

    def arm(self, trigger: Trigger) -> Trigger:
        for workflow_id in {trigger.workflow_id, trigger.setup_workflow_id}:
            self._triggers.setdefault(workflow_id, []).append(trigger)
        return trigger

    def disarm(self, trigger: Trigger) -> None:
        """Removes a trigger, also one that has fired."""
        for workflow_id in {trigger.workflow_id, trigger.setup_workflow_id}:
            left = [armed for armed in self._triggers.pop(workflow_id, ()) if armed is not trigger]
            if left:
                self._triggers[workflow_id] = left

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
        call_point = CallPoint(question["method"], question["when"])
        caller = Caller(
            question["workflowId"],
            question["workflowType"],
            question["runId"],
            question["worker"],
        )
        try:
            reply = await self._reply(caller, call_point)
        except Exception as error:
            self.errors.append(error)
            reply = CONTINUE
        writer.write(json.dumps({"id": question["id"], **reply}).encode() + b"\n")

    async def _reply(self, caller: Caller, call_point: CallPoint) -> Instruction:
        armed = list(self._triggers.get(caller.workflow_id, ()))
        watched: set[Point] = set()
        for trigger in armed:
            watched |= trigger.watched_points(caller, call_point.method)
        reply: Instruction = CONTINUE
        for trigger in armed:
            if trigger.fires_at(caller, call_point):
                trigger.run_id, trigger.worker = caller.run_id, caller.worker
                trigger.times -= 1
                if trigger.times == 0:
                    self.disarm(trigger)
                reply = await trigger.fire(trigger)
                trigger.fired.set()
                break
            if trigger.fails_to_set_up(caller, call_point):
                trigger.setup_failed = True
                if caller.workflow_id == trigger.workflow_id:
                    trigger.run_id = caller.run_id
                reply = error(_DEPENDENCIES.get(call_point.method, "mongodb"))
                break
        return {**reply, "watched": sorted(watched)}
