"""`python -m dev.bench.noop_worker`: a worker for the empty workflow, set up like the service's."""

import logging

import uvloop
from temporalio.worker import Worker

from dev.bench.noop import NOOP_QUEUE, WORKER_STARTED, NoopWorkflow
from logs import configure_logging
from process import told_to_stop
from settings import Settings, load_settings
from worker import workflow_runner
from workflows.gateway import connect

logger = logging.getLogger("dev.bench.noop_worker")


async def run(settings: Settings) -> None:
    """Runs until a signal ends it."""
    stopping = told_to_stop()
    client = await connect(settings)
    async with Worker(
        client,
        task_queue=NOOP_QUEUE,
        workflows=[NoopWorkflow],
        workflow_runner=workflow_runner(),
    ):
        logger.info("Empty worker started", extra={"event": WORKER_STARTED})
        await stopping.wait()


def main() -> None:
    settings = load_settings()
    configure_logging(settings.log_level)
    uvloop.run(run(settings))


if __name__ == "__main__":
    main()
