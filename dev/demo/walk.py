"""Requests, answers, and what an answer should have been.

A `Step` is one line of the demo: one request, or several sent at once, with what they were answered
and every way in which that is not what it should be.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import httpx
from temporalio.client import Client
from temporalio.service import RPCError

from cli.console import reason
from cli.temporal import DEFAULT_NAMESPACE, RPC_TIMEOUT, TemporalPlace
from settings import Settings
from workflows.ids import cart_workflow_id
from workflows.pages import Pages

REPLAYED = "Idempotent-Replayed"


@dataclass(frozen=True)
class Call:
    """A request; `user` is who makes it (None: nobody in particular, without a token)."""

    method: str
    url: str
    user: str | None = None
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What came back; `body` is None when it is no JSON."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def replayed(self) -> bool:
        """Whether it repeats an earlier answer."""
        return self.headers.get(REPLAYED) == "true"


class NoAnswer(Exception):
    """The service could not be reached, or did not answer in time."""


@dataclass
class Step:
    """What was asked, what came back, and what is wrong with it."""

    title: str
    request: str
    answers: list[Answer] = field(default_factory=list)
    sagas: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def went_well(self) -> bool:
        return not self.problems

    @property
    def answer(self) -> Answer:
        """The answer of a step with one request."""
        return self.answers[0]

    def expect(
        self,
        status: int,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        of: Answer | None = None,
    ) -> None:
        """Notes every difference. `body` is what there must be at least: fields of an object, and
        for each of a list's items one that matches. `of` is the answer (default: the only one)."""
        answer = of or self.answer
        if answer.status != status:
            self.problems.append(f"expected status {status}, got {answer.status}")
        elif body is not None:
            self.problems += differences(body, answer.body)
        for name, value in (headers or {}).items():
            if (got := answer.headers.get(name)) != value:
                self.problems.append(f"expected header {name}: {value}, got {got}")

    def expect_that(self, holds: bool, otherwise: str) -> None:
        """Notes `otherwise` unless the condition holds."""
        if not holds:
            self.problems.append(otherwise)


def differences(expected: Any, got: Any, path: str = "") -> list[str]:
    """Where `got` lacks what is expected, each as a sentence."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        found = []
        for name, value in expected.items():
            inner = f"{path}.{name}" if path else str(name)
            if name not in got:
                found.append(f"expected {inner}: {value!r}, but there is none")
            else:
                found += differences(value, got[name], inner)
        return found
    if isinstance(expected, list) and isinstance(got, list):
        return [
            f"expected {path or 'the list'} to have {item!r}"
            for item in expected
            if all(differences(item, other) for other in got)
        ]
    if expected == got:
        return []
    return [f"expected {path or 'the answer'}: {expected!r}, got {got!r}"]


class Sagas:
    """Finds the run that a request started, for its page in the Temporal Web UI."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._pages = Pages(settings.temporal_ui, DEFAULT_NAMESPACE)
        self._seen: dict[str, str | None] = {}

    async def connect(self) -> None:
        """Without Temporal in reach, the links lead to the cart's workflow instead of its run."""
        try:
            place = TemporalPlace(self._settings)
            self._pages = Pages(self._settings.temporal_ui, place.namespace)
            async with asyncio.timeout(RPC_TIMEOUT.total_seconds()):
                self._client = await place.connect()
        except (RuntimeError, TimeoutError):
            self._client = None

    async def page_of_new(self, store: str, user: str, answer: Answer) -> str | None:
        """The page of the saga that led to this answer; None when no saga ran."""
        workflow_id = cart_workflow_id(store, user)
        if self._client is None:
            ran = answer.status < 300 and not answer.replayed  # noqa: PLR2004
            return self._pages.workflow(workflow_id) if ran else None
        run_id = await self._latest_run(workflow_id)
        if run_id is None or run_id == self._seen.get(workflow_id):
            return None
        self._seen[workflow_id] = run_id
        return self._pages.workflow(workflow_id, run_id)

    async def _latest_run(self, workflow_id: str) -> str | None:
        client = cast("Client", self._client)
        try:
            handle = client.get_workflow_handle(workflow_id)
            return (await handle.describe(rpc_timeout=RPC_TIMEOUT)).run_id
        except RPCError:
            return None


async def send(http: httpx.AsyncClient, call: Call, token: str | None) -> Answer:
    """Sends a request; raises `NoAnswer`."""
    headers = {**call.headers, **({"Authorization": f"Bearer {token}"} if token else {})}
    try:
        response = await http.request(
            call.method, call.url, json=call.body, params=call.query, headers=headers
        )
    except httpx.HTTPError as error:
        raise NoAnswer(reason(error)) from error
    try:
        body = response.json()
    except ValueError:
        body = None
    return Answer(response.status_code, body, response.headers)
