"""Outages of a process of the stack."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

from dev.stack.stack import Stack


@asynccontextmanager
async def down(stack: Stack, name: str) -> AsyncIterator[None]:
    """Kills the process, keeps it down inside, and waits until it is ready again on exit."""
    await stack.kill(name, restart=False)
    try:
        yield
    finally:
        # The stand-in for Kafka mixes up offsets if a message arrives before its topics exist.
        with _paused(stack, *(("worker", "consumer") if name == "kafka" else ())):
            await stack.start_again(name)
        stack.process(name).restart = True


@contextmanager
def _paused(stack: Stack, *names: str) -> Iterator[None]:
    with ExitStack() as held:
        for name in names:
            stack.pause(name)
            held.callback(stack.resume, name)
        yield
