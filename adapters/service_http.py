"""HTTP calls of another service, each bounded in time and in the size of its answer.

Redirects are not followed. What an answer means is decided in `adapters.inventory` and
`adapters.products`.
"""

import asyncio
import ssl
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import structlog

from adapters.content_coding import decompressed
from models.errors import DependencyTimeout, DependencyUnavailable, NotSent
from telemetry import tracing

logger = structlog.stdlib.get_logger(__name__)

SLOW_SECONDS = 1.0
CONNECT_SECONDS = 1.0
MAX_BODY_BYTES = 64 * 1024
CONNECTIONS = 128


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The answer to a call. `unread` is set when the body is too large or does not end in time.

    A caller that decides by the status alone does not need the body.
    """

    path: str
    status: int
    content: bytes = b""
    unread: DependencyUnavailable | None = None

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300  # noqa: PLR2004 (RFC 9110, 15.3)

    @property
    def is_client_error(self) -> bool:
        return 400 <= self.status < 500  # noqa: PLR2004 (RFC 9110, 15.5)

    def body(self) -> bytes:
        """The body. Raises `DependencyUnavailable` when it could not be read."""
        if self.unread is not None:
            raise self.unread
        return self.content


class ServiceHttp:
    """The connections to one service, `system` in errors. `headers` are sent with each call.

    Without `proxy` none is used, whatever the environment says.
    """

    def __init__(
        self,
        system: str,
        base_url: str,
        *,
        timeout_seconds: float,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        self._system = system
        self._timeout = timeout_seconds
        self._base = base_url.rstrip("/")
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            # A compressed body can be much larger than what was received.
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                **(headers or {}),
            },
            auto_decompress=False,
            proxy=proxy,
        )

    async def close(self) -> None:
        await self._http.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        timeout: float | None = None,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> HttpAnswer:
        """Sends one request, which only its own timeout ends.

        Cancelling the caller does not cancel the request: it may have been sent already, and a
        cancelled request closes its connection. Raises `DependencyTimeout` when no answer begins
        in time, `NotSent` when there is no connection, and `DependencyUnavailable` when it breaks.
        """
        request = asyncio.create_task(
            self._send(method, path, json, timeout or self._timeout, max_bytes)
        )
        request.add_done_callback(_retrieve)
        return await asyncio.shield(request)

    async def _send(
        self, method: str, path: str, json: Any, seconds: float, max_bytes: int
    ) -> HttpAnswer:
        connecting = min(seconds, CONNECT_SECONDS)
        limits = aiohttp.ClientTimeout(
            total=connecting + seconds, connect=seconds, sock_connect=connecting, sock_read=seconds
        )
        headers = dict(tracing.headers() or {})
        if json is not None:
            headers["Content-Type"] = "application/json"
        started = asyncio.get_running_loop().time()
        try:
            with tracing.span(
                f"{method} {self._system}", {"http.request.method": method, "url.path": path}
            ):
                async with self._http.request(
                    method,
                    self._base + path,
                    data=None if json is None else orjson.dumps(json),
                    headers=headers,
                    timeout=limits,
                    allow_redirects=False,
                ) as response:
                    answer = await self._read(response, path, max_bytes)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise NotSent(self._system, f"{path}: {error!r}") from error
        except TimeoutError as error:
            raise DependencyTimeout(self._system, f"{path}: no answer in {seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unavailable(f"{path}: {_why(error)}") from error
        took = asyncio.get_running_loop().time() - started
        if took > SLOW_SECONDS:
            logger.warning(
                "dependency_slow",
                message="Dependency is slow",
                dependency=self._system,
                path=path,
                durationMs=round(took * 1000),
            )
        return answer

    async def _read(
        self, response: aiohttp.ClientResponse, path: str, max_bytes: int
    ) -> HttpAnswer:
        """The answer with its body, or with the reason why the body could not be read."""
        content = bytearray()
        unread: DependencyUnavailable | None = None
        try:
            async for part in response.content.iter_any():
                content += part
                if len(content) > max_bytes:
                    unread = self._unavailable(f"{path}: an answer of more than {max_bytes} bytes")
                    break
        except TimeoutError:
            unread = DependencyTimeout(self._system, f"{path}: the answer did not end in time")
        except (aiohttp.ClientError, OSError) as error:
            unread = self._unavailable(f"{path}: {_why(error)}")
        if unread is None:
            coding = response.headers.get("Content-Encoding", "")
            try:
                plain = decompressed(bytes(content), coding, most=max_bytes)
            except ValueError as error:
                unread = self._unavailable(f"{path}: {error}")
            else:  # a byte order mark may be ignored (RFC 8259, 8.1)
                return HttpAnswer(path, response.status, plain.removeprefix(BOM_UTF8))
        response.close()
        return HttpAnswer(path, response.status, unread=unread)

    def _unavailable(self, detail: str) -> DependencyUnavailable:
        return DependencyUnavailable(self._system, detail)


def _why(error: Exception) -> str:
    """The error without the request's headers, which have the credentials."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{type(error).__name__}: {error.message}"
    return repr(error)


def _retrieve(task: "asyncio.Task[HttpAnswer]") -> None:
    """Retrieves the exception of a call without a caller, so that asyncio does not log it."""
    if not task.cancelled():
        task.exception()
