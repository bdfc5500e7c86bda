"""An HTTP server with scripted responses, and the `cart` command run against it."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.main import main
from settings import Settings


@dataclass(frozen=True)
class ReceivedRequest:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass
class FakeResponse:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Answering = Callable[[ReceivedRequest], FakeResponse]


@contextmanager
def standin(answering: Answering) -> Iterator[int]:
    """Serves on a free port inside; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            url = urlsplit(self.path)
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            body = json.loads(text) if text else None
            response = answering(ReceivedRequest(self.command, url.path, query, self.headers, body))  # type: ignore[arg-type]
            answer = json.dumps(response.body).encode()
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 (http.server's names)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class CommandResult:
    """The exit code, stdout and stderr of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> CommandResult:
    """Runs `cart` as its console script does."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    captured = capsys.readouterr()
    code = ended.value.code
    return CommandResult(code if isinstance(code, int) else 0, captured.out, captured.err)


def use_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies that answer nothing, of every name, for every host."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "GRPC_PROXY"):
        scheme = "socks5" if name == "ALL_PROXY" else "http"
        for spelling in (name, name.lower()):
            monkeypatch.setenv(spelling, f"{scheme}://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def clear_environment(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    """Sets only these settings; the addresses of all others are ports without a listener."""
    for name in [*Settings.model_fields, "NODE_ENV"]:
        for spelling in (name, name.upper()):
            monkeypatch.delenv(spelling, raising=False)
    for name in list(os.environ):
        if name.startswith("TEMPORAL_"):
            monkeypatch.delenv(name)
    unused = dict.fromkeys(_PORTS, "1")
    defaults = {"CART_ENV_FILE": ""} | unused
    for name, value in {**defaults, **values}.items():
        monkeypatch.setenv(name, str(value))


_PORTS = (
    "PORT",
    "INVENTORY_PORT",
    "TEMPORAL_PORT",
    "TEMPORAL_UI_PORT",
    "MONGODB_PORT",
    "REDIS_PORT",
    "KAFKA_PORT",
)
