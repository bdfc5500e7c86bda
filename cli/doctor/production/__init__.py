"""`cart doctor --production`: the production checklist of docs/deploy.md, line by line.

`Line` has the lines, by the names that they have there. `configured` checks those that the settings
decide, `servers` those that a server can say. The others can only be checked by hand.
"""

import asyncio
from collections.abc import Awaitable, Callable

from cli.doctor.production import configured, servers
from cli.doctor.production.lines import BY_HAND, Findings, Line
from cli.doctor.results import CheckResult, Status
from ops.words import reason
from settings import Settings

SERVER_SECONDS = 8.0

Ask = Callable[[Settings, Findings], Awaitable[None]]
SERVERS: dict[Line, Ask] = {
    Line.MONGODB: servers.check_mongodb,
    Line.REDIS: servers.check_redis,
    Line.KAFKA: servers.check_kafka,
    Line.TEMPORAL: servers.check_temporal,
    Line.REPLICAS: servers.check_replicas,
}


def examine_production(settings: Settings) -> list[CheckResult]:
    """The results in the order of the checklist; a line with several problems has several."""
    findings = Findings()
    configured.check(settings, findings)
    asyncio.run(_ask_servers(settings, findings))
    for line, what in BY_HAND.items():
        findings.by_hand(line, what)
    return [result for line in Line for result in findings.of(line)]


async def _ask_servers(settings: Settings, findings: Findings) -> None:
    await asyncio.gather(*(_ask(line, settings, findings) for line in SERVERS))


async def _ask(line: Line, settings: Settings, findings: Findings) -> None:
    try:
        async with asyncio.timeout(SERVER_SECONDS):
            await SERVERS[line](settings, findings)
    except Exception as error:  # whatever a client raises, the other lines are shown
        findings.unknown(line, f"{type(error).__name__}: {reason(error)}")
    if not findings.of(line):
        findings.results[line] = [CheckResult(line, Status.OK, "as it should be")]
