"""`python -m api`: serves on HOST and PORT until SIGTERM or Ctrl-C, then drains its requests.

Exit code 0 after a signal, 1 for invalid settings, 3 if it could not start.
"""

import math
import signal
import sys
from contextlib import suppress

import uvicorn

from api.app import configured, create_app
from settings import Settings

_START_FAILED = 3
_DRAIN_GRACE_SECONDS = 1


def server_config(settings: Settings) -> uvicorn.Config:
    """The configuration of Uvicorn."""
    return uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(settings.operation_wait_seconds) + _DRAIN_GRACE_SECONDS,
    )


def main() -> None:
    """Runs the server."""
    settings = configured()
    # Uvicorn raises the signal again after its shutdown: exit with 0 then, not by the signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = uvicorn.Server(server_config(settings))
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(_START_FAILED)


if __name__ == "__main__":
    main()
