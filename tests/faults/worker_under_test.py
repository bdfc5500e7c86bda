"""`python -m tests.faults.worker_under_test`: the worker, with a test's hand on every step.

It is the production worker but for its adapters, which are wrapped on their way into
`worker.build_worker`. CART_TEST_CONTROL is the test's address (`hooks`). Carts of users whose name
begins with a known mistake's are served by a build that has it (`known_bad`).
"""

import asyncio
import os
import sys
from typing import Any

import worker
from tests.faults.hooks import Control, hook_transactions, hooked
from tests.faults.known_bad import with_known_mistakes, with_known_mistakes_of_the_saga

_run, _build = worker.run, worker.build_worker
# No step waits for these, and the cached stock has methods of the cached carts' names.
_NOT_HOOKED = frozenset({"gateway", "stock"})


async def run(settings: Any) -> None:
    """As `worker.run`, under control."""
    control = await Control.connect(os.environ["CART_TEST_CONTROL"])
    hook_transactions(control)

    def build_worker(client: Any, settings: Any, **adapters: Any) -> Any:
        with_known_mistakes(adapters)
        wrapped = {
            name: adapter if name in _NOT_HOOKED else hooked(adapter, control)
            for name, adapter in adapters.items()
        }
        with_known_mistakes_of_the_saga(wrapped)
        return _build(client, settings, **wrapped)

    worker.build_worker = build_worker
    # A process that ran local activities may crash while it exits; that is not what is tested.
    await _run(settings)
    await asyncio.sleep(0)


if __name__ == "__main__":
    worker.run = run
    sys.exit(worker.main())
