"""Taking a process of the stack away for a while."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

from dev.stack.stack import Stack


@asynccontextmanager
async def down(stack: Stack, name: str) -> AsyncIterator[None]:
    """The process is killed, stays down inside, and is ready again after."""
    await stack.kill(name, restart=False)
    try:
        yield
    finally:
        # Kafka's stand-in mixes offsets up when somebody publishes before its topics are made.
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
