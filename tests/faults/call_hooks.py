"""In a process under test: each call of an adapter asks the test for an instruction.

A call has three points: `before` (not made yet), `during` (under way) and `after` (done, its result
not returned yet). At each point the test answers with one instruction:

    {}      continue (the test may have broken something else meanwhile)
    die     the process kills itself, as with kill -9
    error   the call fails as if its dependency had not answered
    unsent  the call fails as if its dependency's circuit was open
    delay   the call waits
    echo    the call is made once more later, like a late duplicate; a last question (`echoed`)
            follows when that call is done

`triggers` has the test's side, which decides.
"""

import asyncio
import inspect
import json
import os
import signal
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from temporalio import activity

from models.documents import OperationRecord
from models.errors import DependencyUnavailable, NotSent

UNDER_WAY_SECONDS = 0.002
ASK_SECONDS = 30.0
PIVOT = "persist"
"""The adapter's method that writes the pivot; its transaction has points of its own."""
FIRST_WRITTEN: str = OperationRecord.Settings.name
"""The collection that the pivot's transaction writes first."""

_in_pivot: ContextVar[bool] = ContextVar("in_pivot", default=False)
_echoes: set[asyncio.Task[Any]] = set()


CallerFields = dict[str, str | None]
"""The workflow run that makes a call: `workflowId`, `workflowType` and `runId`."""


def running_activity() -> CallerFields | None:
    """The run whose activity makes the call; None for a call outside of an activity."""
    if not activity.in_activity():
        return None
    info = activity.info()
    return {
        "workflowId": info.workflow_id,
        "workflowType": info.workflow_type,
        "runId": info.workflow_run_id,
    }


class TriggerClient:
    """The connection to the test's trigger server. Without it every call continues."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        caller: Callable[[], CallerFields | None],
    ) -> None:
        self._writer = writer
        self._caller = caller
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listening = asyncio.create_task(self._listen(reader))

    @classmethod
    async def connect(
        cls, address: str, caller: Callable[[], CallerFields | None] = running_activity
    ) -> "TriggerClient":
        """`address` is host:port."""
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)), caller)

    async def ask(self, method: str, when: str) -> dict[str, Any]:
        """The instruction for this call; {} to continue."""
        caller = self._caller()
        if self._listening.done() or caller is None:
            return {}
        number = len(self._asked)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        question = {
            "id": number,
            "method": method,
            "when": when,
            **caller,
            "worker": os.environ["CART_TEST_WORKER"],
        }
        self._writer.write(json.dumps(question).encode() + b"\n")
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await answer
        except TimeoutError:
            return {}

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            answer = json.loads(line)
            asked = self._asked[answer["id"]]
            if not asked.done():
                asked.set_result(answer)
        for asked in self._asked.values():
            if not asked.done():
                asked.set_result({})


def with_triggers_on_all_calls(adapter: Any, triggers: TriggerClient) -> Any:
    """The same adapter, whose public coroutine methods ask at their three points."""
    for name, method in inspect.getmembers(adapter, inspect.iscoroutinefunction):
        if not name.startswith("_") and name not in {"connect", "close", "ping", "warm_up"}:
            setattr(adapter, name, with_triggers(name, method, triggers))
    return adapter


def hook_transactions(triggers: TriggerClient) -> None:
    """Adds two points inside the pivot.

    `pivot`: the cart is read, nothing is written. `transaction`: everything is written, nothing is
    committed.
    """
    insert, commit = AsyncCollection.insert_one, AsyncClientSession.commit_transaction

    async def insert_one(self: AsyncCollection[Any], *args: Any, **kwargs: Any) -> Any:
        if _in_pivot.get() and self.name == FIRST_WRITTEN:
            await _obey(await triggers.ask("pivot", "before"))
        return await insert(self, *args, **kwargs)

    async def commit_transaction(self: AsyncClientSession) -> None:
        if _in_pivot.get():
            await _obey(await triggers.ask("transaction", "before"))
        await commit(self)

    AsyncCollection.insert_one = insert_one  # type: ignore[method-assign]
    AsyncClientSession.commit_transaction = commit_transaction  # type: ignore[method-assign]


def with_triggers(name: str, method: Any, triggers: TriggerClient) -> Any:
    """The same coroutine function, which asks at its three points."""

    @wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        if name == PIVOT:
            _in_pivot.set(True)
        answer = await triggers.ask(name, "before")
        await _obey(answer)
        watched = answer.get("watched", ())
        if "during" in watched:
            result = await _interrupted(method(*args, **kwargs), name, triggers)
        else:
            result = await method(*args, **kwargs)
        if "after" in watched:
            answer = await triggers.ask(name, "after")
            if answer.get("do") == "echo":
                again = _echo(answer["seconds"], method, args, kwargs)
                echo = asyncio.create_task(_asking_after(again, name, triggers))
                _echoes.add(echo)
                echo.add_done_callback(_echoes.discard)
            await _obey(answer)
        return result

    return call


async def _interrupted(call: Any, name: str, triggers: TriggerClient) -> Any:
    """Makes the call, and asks while it is under way."""
    under_way = asyncio.ensure_future(call)
    under_way.add_done_callback(lambda task: task.cancelled() or task.exception())
    await asyncio.sleep(UNDER_WAY_SECONDS)
    await _obey(await triggers.ask(name, "during"))
    return await under_way


async def _obey(answer: dict[str, Any]) -> None:
    match answer.get("do"):
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "error":
            raise DependencyUnavailable(answer["dependency"], "failed by a test")
        case "unsent":
            raise NotSent(answer["dependency"], "failed by a test")
        case "delay":
            await asyncio.sleep(answer["seconds"])


async def _asking_after(echo: Any, name: str, triggers: TriggerClient) -> None:
    await echo
    await triggers.ask(name, "echoed")


async def _echo(seconds: float, method: Any, args: Any, kwargs: Any) -> None:
    await asyncio.sleep(seconds)
    try:
        await method(*args, **kwargs)
    except Exception as error:  # no caller waits for it
        activity.logger.info("A late duplicate was refused: %r", error)
