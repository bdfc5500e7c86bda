"""Health probes of the systems that this service uses, each with a time limit."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog

from adapters.single_flight import SingleFlight

logger = structlog.stdlib.get_logger(__name__)

PROBE_SECONDS = 1.5

Probe = Callable[[], Awaitable[None]]


class HealthChecks:
    """Probes by name. A probe returns, or raises if its system does not answer.

    Concurrent checks share one probe, so that health requests cannot overload a system.
    """

    def __init__(self, probes: Mapping[str, Probe], *, timeout: float = PROBE_SECONDS) -> None:
        self._probes = probes
        self._timeout = timeout
        self._running: SingleFlight[bool] = SingleFlight()

    async def close(self) -> None:
        """Waits for running probes, which have a time limit."""
        await self._running.close()

    async def check(self, *names: str) -> dict[str, bool]:
        """Whether each named system answers (default: all). Probes run concurrently."""
        wanted = names or tuple(self._probes)
        answers = await asyncio.gather(
            *(self._running.join(name, partial(self._ask, name)) for name in wanted)
        )
        return dict(zip(wanted, answers, strict=True))

    async def _ask(self, name: str) -> bool:
        try:
            async with asyncio.timeout(self._timeout):
                await self._probes[name]()
        except Exception as error:
            logger.debug(
                "probe_failed", message="Health probe failed", dependency=name, reason=repr(error)
            )
            return False
        return True
