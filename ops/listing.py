"""The sagas of a filter, with why each ended so."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from ops.connections import Connections
from ops.endings import explain
from ops.filters import SagaQuery
from ops.sagas import SagaSummary, find_sagas
from workflows.connection import RPC_TIMEOUT


@dataclass(frozen=True)
class SagaList:
    """The latest sagas of a query; `count` is how many there are in all, `url` their page in the
    Web UI."""

    sagas: list[SagaSummary]
    count: int
    query: str
    url: str

    def as_dict(self, now: datetime) -> dict[str, Any]:
        """For `--json`."""
        return {
            "count": self.count,
            "query": self.query,
            "url": self.url,
            "sagas": [saga.as_dict(now) for saga in self.sagas],
        }


async def list_sagas(
    connections: Connections, which: SagaQuery, *, limit: int, now: datetime
) -> SagaList:
    """The latest `limit` sagas; of those that need attention only the ones that nobody has
    acknowledged. Raises `ServerAwayError` without Temporal."""
    query = which.query(now)
    finding = partial(find_sagas, connections, query, limit=limit)
    sagas = await explain(connections, await connections.need("temporal", finding))
    count = len(sagas)
    if count == limit:
        counting = partial(connections.temporal.count_workflows, query, rpc_timeout=RPC_TIMEOUT)
        counted = await connections.ask("temporal", counting, None)
        count = counted.count if counted else count
    if which.attention:
        open_ones = [saga for saga in sagas if saga.acknowledged is None]
        count, sagas = count - len(sagas) + len(open_ones), open_ones
    return SagaList(sagas, count, query, connections.pages.query(query))
