"""The yardstick: a workflow that does nothing. It takes nothing and answers nothing."""

from temporalio import workflow

NOOP = "Noop"
NOOP_QUEUE = "bench-noop"
WORKER_STARTED = "noop_worker_started"  # the event of the worker's log line


@workflow.defn(name=NOOP)
class NoopWorkflow:
    """Starts, and is done."""

    @workflow.run
    async def run(self) -> None:
        return
