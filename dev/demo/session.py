"""One run of the demo: requests, answers, and the comparison with what is expected."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
from temporalio.client import Client
from temporalio.service import RPCError

from cli.console import CliError
from cli.temporal import DEFAULT_NAMESPACE, RPC_TIMEOUT, TemporalPlace
from cli.token import TokenError, mint_token
from ops.words import reason
from settings import Settings
from workflows.ids import cart_workflow_id
from workflows.pages import Pages

INVENTORY = "/api/v1/inventories"
KEY = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
TIMEOUT_SECONDS = 15.0
TOKEN_SECONDS = 600
EFFECT_SECONDS = 20.0  # a consumer that has just started takes seconds to join its group
POLL_SECONDS = 0.1
SHOPPER = "shopper"
ADMIN_USER = "store-admin"


@dataclass(frozen=True)
class Call:
    """A request. Without a `user` it is sent without a token."""

    method: str
    url: str
    user: str | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        key = self.headers.get(KEY)
        return f"{self.method} {urlsplit(self.url).path}" + (f" ({KEY}: {key})" if key else "")


@dataclass(frozen=True)
class Answer:
    """A response; `body` is None unless it is JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def replayed(self) -> bool:
        """Whether the service repeated an earlier answer."""
        return self.headers.get(REPLAYED) == "true"

    def get(self, name: str, default: Any = "") -> Any:
        """A field of the body; `default` if there is none."""
        return self.body.get(name, default) if isinstance(self.body, dict) else default


class NoAnswer(Exception):
    """The service could not be reached, or did not answer in time."""


@dataclass
class Step:
    """One line of the demo: a request or several concurrent ones, the answers and what is wrong."""

    title: str
    request: str
    answers: list[Answer] = field(default_factory=list)
    sagas: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def expect(self, status: int, body: Any = None, *, answer: Answer | None = None) -> None:
        """Records every difference of `answer` (default: the first).

        `body` is a subset: fields of an object, and a matching item for each item of a list.
        """
        answer = answer or self.answers[0]
        if answer.status != status:
            self.problems.append(f"expected status {status}, got {answer.status}")
        elif body is not None:
            self.problems += differences(body, answer.body)


def differences(expected: Any, got: Any, path: str = "") -> list[str]:
    """One sentence for each part of `expected` that `got` lacks."""
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


class DemoStopped(Exception):
    """The demo cannot continue after a step."""


class SagaLinks:
    """Finds the page in the Temporal Web UI of the run that a request started."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._pages = Pages(settings.temporal_ui, DEFAULT_NAMESPACE)
        self._seen: dict[str, str] = {}

    async def connect(self) -> None:
        """Connects to Temporal; if it cannot be reached, links lead to the latest run."""
        with suppress(RuntimeError, TimeoutError):
            place = TemporalPlace(self._settings)
            self._pages = Pages(self._settings.temporal_ui, place.namespace)
            async with asyncio.timeout(RPC_TIMEOUT.total_seconds()):
                self._client = await place.connect()

    async def new(self, store: str, user: str, answer: Answer) -> list[str]:
        """The page of the run that led to this answer; empty if there was no run."""
        workflow_id = cart_workflow_id(store, user)
        if self._client is None:
            started = answer.status < httpx.codes.MULTIPLE_CHOICES and not answer.replayed
            return [self._pages.workflow(workflow_id)] if started else []
        try:
            handle = self._client.get_workflow_handle(workflow_id)
            run_id = (await handle.describe(rpc_timeout=RPC_TIMEOUT)).run_id
        except RPCError:
            return []
        if run_id == self._seen.get(workflow_id):
            return []
        self._seen[workflow_id] = run_id
        return [self._pages.workflow(workflow_id, run_id)]


@dataclass
class DemoSession:
    """One run of the demo in a store of its own. `on_step` is called after each step."""

    settings: Settings
    http: httpx.AsyncClient
    sagas: SagaLinks
    store: str = field(default_factory=lambda: f"demo-{token_hex(4)}")
    on_step: Callable[[Step], None] = lambda _: None
    steps: list[Step] = field(default_factory=list)
    stopped: str | None = None
    _guests: dict[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        return self.stopped is None and not any(step.problems for step in self.steps)

    async def run(self, script: Callable[["DemoSession"], Awaitable[None]]) -> None:
        """Runs the steps until the end, or until one raises `NoAnswer` or `DemoStopped`."""
        try:
            await script(self)
        except NoAnswer as error:
            self.stopped = f"no answer ({error}); see cart doctor"
        except DemoStopped as error:
            self.stopped = str(error)

    async def check(
        self, title: str, call: Call, status: int, body: Any = None, *, required: str = ""
    ) -> Answer:
        """A step of one request. `required` is why the demo stops if the answer is wrong."""
        step = await self.send(title, call)
        step.expect(status, body)
        self.report(step)
        if step.problems and required:
            raise DemoStopped(required)
        return step.answers[0]

    async def send(self, title: str, *calls: Call) -> Step:
        """Sends concurrent requests and finds the runs that they started."""
        step = Step(title, "; ".join(dict.fromkeys(map(str, calls))))
        step.answers = await asyncio.gather(*map(self.answer, calls))
        for call, answer in zip(calls, step.answers, strict=True):
            if call.user and call.method != "GET":
                step.sagas += await self.sagas.new(self.store, call.user, answer)
        return step

    async def check_effect(
        self,
        title: str,
        name: str,
        act: Awaitable[str | None],
        call: Call,
        *,
        status: int,
        body: Any,
        saga_of: str | None = None,
    ) -> None:
        """A step of an action other than a request: polls until its effect is as expected.

        `saga_of` is the user whose cart it changes; None means the caller's. The action returns the
        page of its run if that is not one of the cart's own.
        """
        page = await act
        step = Step(title, f"{name}; {call}")
        deadline = time.monotonic() + EFFECT_SECONDS
        while True:
            step.answers, step.problems = [await self.answer(call)], []
            step.expect(status, body)
            if not step.problems or time.monotonic() > deadline:
                break
            await asyncio.sleep(POLL_SECONDS)
        if page is not None:
            step.sagas = [page]
        elif user := saga_of or call.user:
            step.sagas = await self.sagas.new(self.store, user, step.answers[0])
        self.report(step)

    def report(self, step: Step) -> None:
        """Ends a step."""
        self.steps.append(step)
        self.on_step(step)

    async def answer(self, call: Call) -> Answer:
        """Sends a request; raises `NoAnswer`."""
        headers = dict(call.headers)
        if call.user:
            headers["Authorization"] = f"Bearer {self.token(call.user)}"
        try:
            response = await self.http.request(
                call.method, call.url, json=call.body, headers=headers
            )
        except httpx.HTTPError as error:
            raise NoAnswer(reason(error)) from error
        try:
            body = response.json()
        except ValueError:
            body = None
        return Answer(response.status_code, body, response.headers)

    def guest(self, token: str) -> str:
        """The guest to whom the service gave this token: a user of requests."""
        user = str(jwt.decode(token, options={"verify_signature": False})["sub"])
        self._guests[user] = token
        return user

    def token(self, user: str) -> str:
        """A user's token; raises `TokenError` if this machine cannot sign one."""
        if user in self._guests:
            return self._guests[user]
        if user == ADMIN_USER:
            return mint_token(
                self.settings,
                user=user,
                store=self.store,
                role=self.settings.jwt_admin_role,
                ttl_seconds=TOKEN_SECONDS,
            )
        return mint_token(self.settings, user=user, name="Demo Shopper", ttl_seconds=TOKEN_SECONDS)

    # Requests

    def cart(
        self, method: str = "GET", path: str = "/store", user: str | None = SHOPPER, **more: Any
    ) -> Call:
        """A request to the cart API below the store."""
        url = f"{self.settings.api_url}/api/v1/cart/{self.store}{path}"
        return Call(method, url, user, **more)

    def by_id(
        self, cart_id: str, method: str = "GET", path: str = "", user: str = SHOPPER, **more: Any
    ) -> Call:
        """A request for a cart by its id."""
        return Call(method, f"{self.settings.api_url}/api/v1/cart/{cart_id}{path}", user, **more)

    def add(
        self, product: dict[str, Any], quantity: int, *, user: str = SHOPPER, key: str = ""
    ) -> Call:
        """A request to add units of a product to a user's cart."""
        body = {**product, "quantity": quantity}
        return self.cart("POST", user=user, body=body, headers={KEY: key} if key else {})

    def inventory(self, method: str, path: str, body: Any = None) -> Call:
        """A request to the inventory about a product of the store."""
        url = f"{self.settings.inventory}{INVENTORY}/{path}?storeId={self.store}"
        return Call(method, url, body=body)


@asynccontextmanager
async def open_session(settings: Settings) -> AsyncIterator[DemoSession]:
    """Connects; raises `CliError` if the API does not answer or no token can be signed."""
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        session = DemoSession(settings, http, SagaLinks(settings))
        try:
            await session.answer(Call("GET", f"{settings.api_url}/health/live"))
        except NoAnswer as error:
            advice = f"{error}; if it runs, see its log in {settings.local_dir}/logs and restart it"
            if str(error) == "connection refused":
                advice = "start it with make run"
            raise CliError(f"the API does not answer at {settings.api_url}: {advice}") from None
        try:
            session.token(SHOPPER)
        except TokenError as error:
            raise CliError(f"the demo cannot sign anybody in: {error}") from None
        await session.sagas.connect()
        yield session
