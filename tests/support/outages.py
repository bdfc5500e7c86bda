"""Taking a process of the stack away for a while."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from signal import SIGCONT, SIGSTOP

from deploy.local.stack import Stack


@asynccontextmanager
async def down(stack: Stack, name: str) -> AsyncIterator[None]:
    """The process is killed, stays down inside, and is ready again after."""
    await stack.kill(name, restart=False)
    try:
        yield
    finally:
        with _nobody_publishing(stack if name == "kafka" else None):
            await stack.start_again(name)
        stack.process(name).restart = True


@contextmanager
def _nobody_publishing(stack: Stack | None) -> Iterator[None]:
    """Kafka's stand-in mixes offsets up when somebody publishes before its topics are made."""
    publishing = [stack.process(name) for name in ("worker", "consumer")] if stack else []
    for process in publishing:
        process.signal(SIGSTOP)
    try:
        yield
    finally:
        for process in publishing:
            process.signal(SIGCONT)
