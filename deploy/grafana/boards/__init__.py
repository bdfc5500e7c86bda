"""What each dashboard asks. `docs/metrics.md` has the meaning of every metric.

Each process counts what went through it: add those up. Gauges that every worker reads from MongoDB
are the same in all: take the `max`.
"""

from deploy.grafana.boards.business import BUSINESS
from deploy.grafana.boards.dependencies import DEPENDENCIES
from deploy.grafana.boards.events import EVENTS
from deploy.grafana.boards.sagas import SAGAS
from deploy.grafana.boards.service import SERVICE

BOARDS = (SERVICE, SAGAS, DEPENDENCIES, EVENTS, BUSINESS)
