"""What each dashboard asks. `docs/metrics.md` has the meaning of every metric.

Each process counts what went through it: add those up. Gauges that every worker reads from MongoDB
are the same in all: take the `max`.
"""

from dev.grafana.boards.business import BUSINESS
from dev.grafana.boards.dependencies import DEPENDENCIES
from dev.grafana.boards.events import EVENTS
from dev.grafana.boards.sagas import SAGAS
from dev.grafana.boards.service import SERVICE

BOARDS = (SERVICE, SAGAS, DEPENDENCIES, EVENTS, BUSINESS)
