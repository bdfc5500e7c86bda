"""Whether the systems that this service needs answer. Never waits for more than a probe's time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from api.single_flight import SingleFlight

logger = logging.getLogger(__name__)

PROBE_SECONDS = 1.5

Probe = Callable[[], Awaitable[None]]


class HealthChecks:
    """Probes by name. A probe returns, or raises when its system does not answer.

    Askers at the same time share one probe, so that health requests cannot become a load.
    """

    def __init__(self, *, timeout: float = PROBE_SECONDS, **probes: Probe) -> None:
        self._probes = probes
        self._timeout = timeout
        self._running: SingleFlight[bool] = SingleFlight()

    async def close(self) -> None:
        """Waits for what is still being asked, which is not for long."""
        await self._running.close()

    async def check(self, *names: str) -> dict[str, bool]:
        """Whether each of the named systems answers (without names: all), asked all at once."""
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
                "Health probe failed",
                extra={"event": "probe_failed", "dependency": name, "reason": repr(error)},
            )
            return False
        return True
