"""A no-op that `cart doctor` runs to prove that a worker works.

Temporal lists a poller for a minute after its process has died, so pollers prove nothing.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import ids


@workflow.defn(name=ids.PING)
class PingWorkflow:
    """No-op that proves a worker is running."""

    @workflow.run
    async def run(self) -> None:
        """Returns at once."""
