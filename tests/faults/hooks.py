"""In a process under test: every call of an adapter asks the test what shall happen to it.

A call has three points: `before` (it is not made yet), `during` (it is under way) and `after` (it
is done, its answer is not heard). At each the test may answer

    go      nothing happens here (the test may have broken something else meanwhile)
    die     the process kills itself, as kill -9 does
    error   the call fails as if its dependency had not answered
    delay   the call waits
    echo    the call is made once more later, as a duplicate that was on its way for long; when
            that is done it asks a last time (`echoed`)

What is not in here: the decision, which is the test's (`control`).
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
from temporalio import activity

from models.errors import DependencyUnavailable

UNDER_WAY_SECONDS = 0.002
ASK_SECONDS = 30.0
PIVOT = "commit"
"""The adapter's method that writes the pivot; its transaction has points of its own."""
SHOWING = frozenset({"put", "drop"})
"""The methods that show what was committed. When one fails, for whatever reason, the test is told
(`failed`): until the next change nobody may see it."""

_in_pivot: ContextVar[bool] = ContextVar("in_pivot", default=False)
_echoes: set[asyncio.Task[Any]] = set()


Caller = dict[str, str | None]
"""Whose call it is: `workflowId`, `workflowType` and `runId`."""


def running_activity() -> Caller | None:
    """The workflow whose activity makes the call; other calls are nobody's."""
    if not activity.in_activity():
        return None
    info = activity.info()
    return {
        "workflowId": info.workflow_id,
        "workflowType": info.workflow_type,
        "runId": info.workflow_run_id,
    }


class Control:
    """The line to the test. When it is gone, the process goes on as if nothing was asked."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        caller: Callable[[], Caller | None],
    ) -> None:
        self._writer = writer
        self._caller = caller
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._listening = asyncio.create_task(self._listen(reader))

    @classmethod
    async def connect(
        cls, address: str, caller: Callable[[], Caller | None] = running_activity
    ) -> "Control":
        """`address` is host:port."""
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)), caller)

    async def ask(self, method: str, when: str) -> dict[str, Any]:
        """What shall happen to this call of the caller's; {} for nothing."""
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


def hooked(adapter: Any, control: Control) -> Any:
    """The same adapter, whose public coroutine methods ask at their three points."""
    for name, method in inspect.getmembers(adapter, inspect.iscoroutinefunction):
        if not name.startswith("_") and name not in {"connect", "close", "ping", "warm_up"}:
            setattr(adapter, name, asking(name, method, control))
    return adapter


def hook_transactions(control: Control) -> None:
    """Two moments inside the pivot become calls of their own.

    `pivot`: the cart is read and nothing is written; `transaction`: all is written, and the commit
    is still to come.
    """
    begin, commit = AsyncClientSession.with_transaction, AsyncClientSession.commit_transaction

    async def with_transaction(self: AsyncClientSession, *args: Any, **kwargs: Any) -> Any:
        if _in_pivot.get():
            await _met(await control.ask("pivot", "before"))
        return await begin(self, *args, **kwargs)

    async def commit_transaction(self: AsyncClientSession) -> None:
        if _in_pivot.get():
            await _met(await control.ask("transaction", "before"))
        await commit(self)

    AsyncClientSession.with_transaction = with_transaction  # type: ignore[method-assign]
    AsyncClientSession.commit_transaction = commit_transaction  # type: ignore[method-assign]


def asking(name: str, method: Any, control: Control) -> Any:
    """The same coroutine function, which asks at its three points."""

    @wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await call_asking(*args, **kwargs)
        except DependencyUnavailable:
            if name in SHOWING:
                await control.ask(name, "failed")
            raise

    async def call_asking(*args: Any, **kwargs: Any) -> Any:
        if name == PIVOT:
            _in_pivot.set(True)
        answer = await control.ask(name, "before")
        await _met(answer)
        watched = answer.get("watched", ())
        if "during" in watched:
            result = await _interrupted(method(*args, **kwargs), name, control)
        else:
            result = await method(*args, **kwargs)
        if "after" in watched:
            answer = await control.ask(name, "after")
            if answer.get("do") == "echo":
                again = _echo(answer["seconds"], method, args, kwargs)
                echo = asyncio.create_task(_asking_after(again, name, control))
                _echoes.add(echo)
                echo.add_done_callback(_echoes.discard)
            await _met(answer)
        return result

    return call


async def _interrupted(call: Any, name: str, control: Control) -> Any:
    """Makes the call, and asks while it is under way."""
    under_way = asyncio.ensure_future(call)
    under_way.add_done_callback(lambda task: task.cancelled() or task.exception())
    await asyncio.sleep(UNDER_WAY_SECONDS)
    await _met(await control.ask(name, "during"))
    return await under_way


async def _met(answer: dict[str, Any]) -> None:
    match answer.get("do"):
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "error":
            raise DependencyUnavailable(answer["dependency"], "a test says so")
        case "delay":
            await asyncio.sleep(answer["seconds"])


async def _asking_after(echo: Any, name: str, control: Control) -> None:
    await echo
    await control.ask(name, "echoed")


async def _echo(seconds: float, method: Any, args: Any, kwargs: Any) -> None:
    await asyncio.sleep(seconds)
    try:
        await method(*args, **kwargs)
    except Exception as error:  # nobody waits for it
        activity.logger.info("A late duplicate was refused: %r", error)
