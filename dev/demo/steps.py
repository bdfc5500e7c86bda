"""Requests, responses, and the comparison of a response with what is expected."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from cli.console import reason

KEY = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"


@dataclass(frozen=True)
class Call:
    """A request. Without a `user` it is sent without a token."""

    method: str
    url: str
    user: str | None = None
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
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

    def expect(
        self,
        status: int,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        answer: Answer | None = None,
    ) -> None:
        """Records every difference of `answer` (default: the first).

        `body` is a subset: fields of an object, and a matching item for each item of a list.
        """
        answer = answer or self.answers[0]
        if answer.status != status:
            self.problems.append(f"expected status {status}, got {answer.status}")
        elif body is not None:
            self.problems += differences(body, answer.body)
        for name, value in (headers or {}).items():
            if (got := answer.headers.get(name)) != value:
                self.problems.append(f"expected header {name}: {value}, got {got}")


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


async def send(http: httpx.AsyncClient, call: Call, token: str | None = None) -> Answer:
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
