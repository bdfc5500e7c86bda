"""An empty workflow, and `python -m dev.bench.noop`: a worker for it, set up like the service's."""

import structlog
import uvloop
from temporalio import workflow
from temporalio.worker import Worker

from logs import configure_logging
from process import stop_event, tune_collector
from settings import Settings, load_settings
from worker import workflow_options
from workflows.connection import connect

NOOP_QUEUE = "bench-noop"
WORKER_STARTED = "noop_worker_started"  # the event of a log line

logger = structlog.stdlib.get_logger("dev.bench.noop")


@workflow.defn(name="Noop")
class NoopWorkflow:
    """Starts and completes."""

    @workflow.run
    async def run(self) -> None:
        return


async def run_worker(settings: Settings) -> None:
    """Runs until a signal."""
    stopping = stop_event()
    async with Worker(
        await connect(settings),
        task_queue=NOOP_QUEUE,
        workflows=[NoopWorkflow],
        **workflow_options(),
    ):
        logger.info(WORKER_STARTED, message="Empty worker started")
        await stopping.wait()


if __name__ == "__main__":
    loaded = load_settings()
    configure_logging(loaded.log_level)
    tune_collector()
    uvloop.run(run_worker(loaded))
