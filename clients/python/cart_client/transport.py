"""Sends requests: tries again what can be tried again, and follows 202 to the outcome."""

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from pydantic import ValidationError

from cart_client.errors import SERVER_ERROR, error_of
from cart_client.models import Problem

ACCEPTED, TOO_MANY, CONFLICT, NOT_MODIFIED = 202, 429, 409, 304
ERROR = 400
IN_PROGRESS = "operation_in_progress"
LONGEST_PAUSE = 10.0

Token = str | Callable[[], str]


class Transport:
    """One connection pool. `patience` is for how many seconds a request is tried again."""

    def __init__(
        self, base_url: str, token: Token | None, *, timeout: float, patience: float
    ) -> None:
        self._token = token
        self._patience = patience
        self._http = httpx.AsyncClient(base_url=base_url, timeout=timeout)

    async def close(self) -> None:
        await self._http.aclose()

    async def read(self, path: str, *, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The body of a GET. Raises `CartError`."""
        return await self._send("GET", path, params=params)

    async def change(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        if_match: str | None = None,
    ) -> dict[str, Any]:
        """The body of a change's answer. All tries have one key. Raises `CartError`."""
        key = key or uuid.uuid4().hex
        # 409 for too little stock, so that a refusal is never taken for a cart.
        headers = {"Idempotency-Key": key, "Prefer": "handling=strict"}
        if if_match is not None:
            headers["If-Match"] = if_match
        return await self._send(method, path, body=body, headers=headers, key=key)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        until = time.monotonic() + self._patience
        pause = 0.2
        while True:
            status, answer, retry_after = await self._once(
                method, path, json=body, params=params, headers=headers
            )
            if status == ACCEPTED:
                status, answer = await self._outcome(answer["location"], until)
            if status and status < ERROR:
                return answer
            problem = _problem(status, answer)
            again = status == 0 or status >= SERVER_ERROR or status == TOO_MANY
            again = again or (status == CONFLICT and answer.get("code") == IN_PROGRESS)
            wait = min(retry_after or pause * random.uniform(0.5, 1.5), LONGEST_PAUSE)  # noqa: S311
            if not again or time.monotonic() + wait > until:
                raise error_of(status, problem, key)
            await asyncio.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _once(
        self, method: str, path: str, **request: Any
    ) -> tuple[int, dict[str, Any], float | None]:
        """The status (0: no answer), the body, and the pause that the service asks for."""
        headers = dict(request.pop("headers") or {})
        if self._token is not None:
            token = self._token() if callable(self._token) else self._token
            headers["Authorization"] = f"Bearer {token}"
        if request["json"] is None:
            del request["json"]
        try:
            response = await self._http.request(method, path, headers=headers, **request)
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            return 0, {"message": f"{type(error).__name__}: {error}"}, None
        if not isinstance(answer, dict):
            return 0, {"message": "The answer is no JSON object"}, None
        if response.status_code == ACCEPTED:
            answer["location"] = response.headers.get("Location", "")
        return response.status_code, answer, _seconds(response.headers.get("Retry-After"))

    async def _outcome(self, path: str, until: float) -> tuple[int, dict[str, Any]]:
        """The answer of an operation, once it has ended."""
        while time.monotonic() < until:
            await asyncio.sleep(0.5)
            status, body, _ = await self._once("GET", path, json=None, params=None, headers=None)
            if status and status < ERROR and body.get("status") != "pending":
                answer = body["answer"]
                return answer["status"], answer["body"]
        return 0, {"message": f"The operation has not ended: {path}"}


def _seconds(value: str | None) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None


def _problem(status: int, answer: dict[str, Any]) -> Problem:
    """The body as a problem, also where a proxy has answered."""
    try:
        return Problem.model_validate(answer)
    except ValidationError:
        message = str(answer.get("message") or f"HTTP status {status}")
        return Problem.model_construct(code="unexpected_error", message=message)
