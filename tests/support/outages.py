"""Taking a process of the stack away for a while."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deploy.local.stack import Stack


@asynccontextmanager
async def down(stack: Stack, name: str) -> AsyncIterator[None]:
    """The process is killed, stays down inside, and is ready again after."""
    await stack.kill(name, restart=False)
    try:
        yield
    finally:
        await stack.start_again(name)
        stack.process(name).restart = True
