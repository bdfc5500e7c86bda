"""`python -m inventory`: runs the reference service on HOST and INVENTORY_PORT."""

import socket
import sys
from contextlib import suppress
from typing import cast

import uvicorn
from fastapi import FastAPI

from dev.inventory_service.app import create_app
from dev.inventory_service.store import CALL_SECONDS
from logs import configure_logging
from settings import SettingsError, load_settings

_START_FAILED = 3


class _Server(uvicorn.Server):
    """A server that ends the delays of injected faults when it shuts down."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cast("FastAPI", self.config.app).state.faults.stop()
        await super().shutdown(sockets)


def main() -> None:
    """Serves until SIGINT or SIGTERM; completes open requests first."""
    try:
        settings = load_settings()
    except SettingsError as error:
        sys.exit(str(error))
    configure_logging(settings.log_level, settings.log_format)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.inventory_port,
        loop="auto",  # uvloop, except on Windows
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # A call takes at most CALL_SECONDS; the fault "duplicate" runs it twice.
        timeout_graceful_shutdown=int(2 * CALL_SECONDS) + 1,
    )
    server = _Server(config)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(_START_FAILED)


if __name__ == "__main__":
    main()
