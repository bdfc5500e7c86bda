"""`python -m api`: serves on HOST and PORT until SIGTERM or Ctrl-C, then drains its requests.

Live carts end at once: their clients connect to another process.

Exit code 0 after a signal, 1 for invalid settings, 3 if it could not start.
"""

import math
import signal
import socket
import sys
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from api.app import configured, create_app
from api.http_protocol import HttpLimits, limited_protocol
from process import tune_collector
from settings import Settings

_START_FAILED = 3
_DRAIN_GRACE_SECONDS = 1


def server_config(settings: Settings, app: FastAPI) -> uvicorn.Config:
    """The configuration of Uvicorn."""
    limits = HttpLimits(
        header_bytes=settings.max_header_bytes,
        body_bytes=settings.max_body_bytes,
        request_seconds=settings.request_seconds,
        connections=settings.max_connections,
    )
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http=limited_protocol(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=settings.forwarded_allow_ips,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=math.ceil(settings.operation_wait_seconds) + _DRAIN_GRACE_SECONDS,
    )


class Server(uvicorn.Server):
    """Uvicorn's server, which ends live carts before it waits for its requests."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._app.state.api is not None:  # it has started
            self._app.state.api.live.end_all()
        await super().shutdown(sockets)


def main() -> None:
    """Runs the server."""
    settings = configured()
    # Uvicorn raises the signal again after its shutdown: exit with 0 then, not by the signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    app = create_app(settings)
    server = Server(server_config(settings, app), app)
    tune_collector()
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(_START_FAILED)


if __name__ == "__main__":
    main()
