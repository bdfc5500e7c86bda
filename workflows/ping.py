"""Shows that a worker works: `cart doctor` starts it and waits for its end.

That somebody asks for work is no proof of it: Temporal remembers who asked for a minute, whether or
not that process still lives.
"""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import ids


@workflow.defn(name=ids.PING)
class PingWorkflow:
    """Does nothing, as soon as somebody does it."""

    @workflow.run
    async def run(self) -> None:
        """Ends at once."""
