"""Runs the examples of `docs/api.md`: sends its `curl` lines, and compares or writes the responses.

A `bash` block with a `curl -i` line is a request, the next `http` block its response, of a stream
(`-N`) up to its first event. Ids and times are replaced by fixed values, so that the page changes
only with the service.
`python -m tests.contract.guide` writes the responses, on a stack of its own; `test_guide` compares
them.
"""

import asyncio
import json
import re
import shlex
import sys
import tempfile
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

import httpx

from api.version import VERSION
from cli.token import mint_token
from dev.stack.stack import Stack
from tests.conftest import settings_of_its_own
from tests.support.shop import Shop, world_of
from tests.support.waiting import eventually

PAGE = Path(__file__).parent.parent.parent / "docs" / "api.md"
BASE = "http://127.0.0.1:4007"
STORE, PRODUCT, UNITS = "store-1", "headphones", 10

_EXAMPLE = re.compile(
    r"(?P<slow><!-- the inventory is slow -->\n\n)?"
    r"```bash\n(?P<curl>curl -i .*?)```\n\n```http\n(?P<answer>.*?)```\n",
    re.DOTALL,
)
_SHOWN = (
    *("etag", "location", "retry-after", "idempotency-key", "idempotent-replayed"),
    *("www-authenticate", "allow", "preference-applied"),
)
_CART_ID = re.compile(r"\b[0-9a-f]{24}\b")
_OPERATION_ID = re.compile(r"\b[0-9a-f]{32}\b")
_TIME = re.compile(r'"(\w+)": "\d{4}-\d\d-\d\dT[\d:.]+Z"')
_TOKEN = re.compile(r'"(eyJhbGciOiJIUzI1NiIs)[^"]+"')
_AMOUNT = re.compile(r'"amount ([^"]+)"')
_RELEASE = re.compile(r'"version": "[^"]+"')
"""The version of the service is a string; that of a cart is a number."""


@dataclass(frozen=True)
class Example:
    """A request of the page, and the response on the page."""

    curl: str
    slow: bool
    answer: str

    @property
    def operation(self) -> str:
        """`GET /path`, with the names of variables."""
        method, url, _, _ = parse(self.curl)
        return f"{method} {urlsplit(url).path}"


def examples(page: str) -> list[Example]:
    """All examples of the page, in order."""
    return [
        Example(found["curl"], found["slow"] is not None, found["answer"])
        for found in _EXAMPLE.finditer(page)
    ]


def parse(curl: str) -> tuple[str, str, dict[str, str], str | None]:
    """Method, URL, headers and body of a `curl -i` line."""
    words = iter(shlex.split(curl.replace("\\\n", " ")))
    assert (next(words), next(words)) == ("curl", "-i")
    method, url, body = None, "", None
    headers: dict[str, str] = {}
    for word in words:
        match word:
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-N":
                pass
            case "-d":
                body = next(words)
            case _:
                url = word
    return method or ("GET" if body is None else "POST"), url, headers, body


@dataclass
class Walk:
    """Sends the requests of the page to a running service, in a store of its own."""

    shop: Shop
    known: dict[str, str] = field(default_factory=dict)
    """The values of the page's variables: tokens, and fields of the last responses."""

    _slow: Example | None = None

    async def prepare(self) -> None:
        settings, store = self.shop.world.settings, self.shop.store_id
        await self.shop.stock(PRODUCT, UNITS)
        await self.shop.stock("turntable", 5)
        self.known["TOKEN"] = mint_token(settings, user="demo-user", name="Demo User")
        self.known["ADMIN"] = mint_token(settings, user="boss", role="admin", store=store)
        self.known["OPERATOR"] = mint_token(settings, user="operator", role="admin")
        self.known["OTHER"] = mint_token(settings, user="another-user")

    async def answer(self, example: Example) -> str:
        """The response to a request, as the page shows it."""
        if example.slow:
            self._slow = example
            patience = self.shop.world.settings.operation_wait_seconds
            await self.shop.fault("reserve", "delay", seconds=patience + 1)
        response = await self._send(example)
        if example.operation.endswith("/$OPERATION"):
            response = await eventually(lambda: self._ended(example), timeout=30)
        return self._shown(response)

    async def _ended(self, example: Example) -> httpx.Response:
        """Waits until the operation has committed; repeats one that timed out at the inventory."""
        response = await self._send(example)
        if response.json()["status"] == "aborted" and self._slow is not None:
            await self._send(self._slow)
        assert response.json()["status"] == "committed"
        return response

    async def _send(self, example: Example) -> httpx.Response:
        # The shell also replaces a variable inside of a quoted word.
        line = Template(example.curl.replace(STORE, self.shop.store_id)).safe_substitute(
            {name: value.replace('"', r"\"") for name, value in self.known.items()}
        )
        method, url, headers, body = parse(line)
        http, url = self.shop.world.http, url.removeprefix(BASE)
        if " -N " in example.curl:
            return await self._first_event(url, headers)
        response = await http.request(method, url, headers=headers, content=body)
        self._note(response)
        return response

    async def _first_event(self, url: str, headers: dict[str, str]) -> httpx.Response:
        """The response with its text up to the end of the first event."""
        async with self.shop.world.http.stream("GET", url, headers=headers) as response:
            text = ""
            async for line in response.aiter_lines():
                text += f"{line}\n"
                if "data: " in text and not line:
                    break
            return httpx.Response(response.status_code, headers=response.headers, text=text)

    def _note(self, response: httpx.Response) -> None:
        """Keeps the values that later requests use."""
        if "idempotent-replayed" in response.headers:
            return  # its cart may be gone
        if "etag" in response.headers:
            self.known["ETAG"] = response.headers["etag"]
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            return
        body = response.json()
        for variable, name in (("CART", "_id"), ("OPERATION", "operationId"), ("GUEST", "token")):
            if name in body:
                self.known[variable] = body[name]

    def _shown(self, response: httpx.Response) -> str:
        status = HTTPStatus(response.status_code)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
        lines += [
            f"{name}: {response.headers[name]}" for name in _SHOWN if name in response.headers
        ]
        if response.headers.get("content-type") == "text/event-stream":
            lines += ["content-type: text/event-stream", "", response.text.rstrip()]
        elif response.content:
            # As text, since a float would lose the two decimals.
            body = json.loads(response.text, parse_float="amount {}".format)
            lines += ["", _AMOUNT.sub(r"\1", json.dumps(body, indent=2))]
        return self._settled("\n".join(lines) + "\n")

    def _settled(self, text: str) -> str:
        """The text with fixed values for ids and times."""
        text = text.replace(self.shop.store_id, STORE)
        text = _CART_ID.sub("507f1f77bcf86cd799439013", text)
        text = _OPERATION_ID.sub("9f86d081884c7d659a2feaa0c55ad015", text)
        text = _RELEASE.sub(f'"version": "{VERSION}"', text)
        text = _TOKEN.sub(r'"\1…"', text)
        return _TIME.sub(_fixed_time, text)


def _fixed_time(found: re.Match[str]) -> str:
    day = "2026-02-26" if found[1] in {"expireAt", "expiresAt"} else "2026-01-27"
    return f'"{found[1]}": "{day}T10:30:00.000Z"'


async def rewritten(page: str, shop: Shop) -> str:
    """The page with the present responses."""
    walk = Walk(shop)
    await walk.prepare()
    parts, end = [], 0
    for found, example in zip(_EXAMPLE.finditer(page), examples(page), strict=True):
        parts += [page[end : found.start("answer")], await walk.answer(example)]
        end = found.end("answer")
    return "".join((*parts, page[end:]))


async def write() -> None:
    """Writes the page with the present responses."""
    with (
        tempfile.TemporaryDirectory(prefix="cart-docs-") as temporary,
        settings_of_its_own(Path(temporary)) as settings,
    ):
        async with Stack(settings), world_of(settings) as world:
            page = await rewritten(_read(), Shop(world))
    _write(page)


def _read() -> str:
    return PAGE.read_text()


def _write(page: str) -> None:
    PAGE.write_text(page)


if __name__ == "__main__":
    sys.exit(asyncio.run(write()))
