"""A file that a process touches every few seconds while its event loop runs.

`python -m heartbeat FILE` exits with 0 while the file is fresh, and with 1 otherwise. Containers
use it as their health check, because not every process has a port for one.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

EVERY_SECONDS = 5
STALE_SECONDS = 30


@asynccontextmanager
async def beating(file: Path | None) -> AsyncIterator[None]:
    """Touches `file` while the block runs; does nothing without a file."""
    if file is None:
        yield
        return
    beats = asyncio.create_task(_beat(file))
    try:
        yield
    finally:
        beats.cancel()
        with suppress(asyncio.CancelledError):
            await beats


async def _beat(file: Path) -> None:
    while True:
        file.touch()  # noqa: ASYNC240 (a file in memory, in a container)
        await asyncio.sleep(EVERY_SECONDS)


def is_fresh(file: Path) -> bool:
    """Whether the file was touched in the last `STALE_SECONDS`."""
    try:
        return time.time() - file.stat().st_mtime < STALE_SECONDS
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_fresh(Path(sys.argv[1])) else 1)
